/**
 * From the start of a sidecar to its first answered request, in ms: `heddle sidecar run --config` as the node agent
 * starts it, once cold (its compile cache is empty) and then warm.
 *
 *   node bench/start.ts [--starts 20] [--source]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatStaticConfig } from '../proto/static-config.ts';
import { freePorts } from '../test/support/free-port.ts';
import { hopConfig } from './subject/static.ts';
import { ownProgram, sidecarFlags } from './subject/subject.ts';

const host = '127.0.0.1';
/** Of a warm start. */
const maxStartMs = 300;
const againMs = 1;
const giveUpMs = 10_000;

const { values } = parseArgs({
  options: { starts: { type: 'string', default: '20' }, source: { type: 'boolean', default: false } },
});
const program = ownProgram({ fromSource: values.source });
const folder = mkdtempSync(join(tmpdir(), 'heddle-start-'));
const app = createServer((_request, response) => response.end('hello'));
app.listen(0, host);
await once(app, 'listening');

try {
  const cold = await startOnce();
  const warm: number[] = [];
  for (let n = 0; n < Number(values.starts); n++) warm.push(await startOnce());
  warm.sort((a, b) => a - b);
  const at = (share: number) => (warm[Math.floor((warm.length - 1) * share)] ?? 0).toFixed(0);
  process.stdout.write(`cold ${cold.toFixed(0)} ms, warm p50 ${at(0.5)}, p90 ${at(0.9)}, max ${at(1)} ms\n`);
  if (Number(at(0.5)) > maxStartMs) {
    process.stdout.write(`over the budget of ${maxStartMs} ms\n`);
    process.exitCode = 1;
  }
} finally {
  app.close();
  app.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}

async function startOnce(): Promise<number> {
  const [listen = 0, outbound = 0, admin = 0] = await freePorts(3);
  const { port } = app.address() as AddressInfo;
  const file = join(folder, 'sidecar.json');
  const config = hopConfig({ host, port: listen }, { host, port }, { outbound, admin });
  writeFileSync(file, formatStaticConfig(config));
  const args = [...sidecarFlags, program, 'sidecar', 'run', '--config', file];
  const startedMs = performance.now();
  const sidecar = spawn(process.execPath, args, {
    // Its compile cache lies among the temporary files; the first start shall not find an older one.
    env: { ...process.env, TMPDIR: folder },
    stdio: 'ignore',
  });
  try {
    while ((await ask(listen)) !== 200) {
      if (performance.now() - startedMs > giveUpMs) throw new Error(`no answer within ${giveUpMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
    return performance.now() - startedMs;
  } finally {
    await end(sidecar);
  }
}

/** The status, or 0 where nobody answers. */
function ask(port: number): Promise<number> {
  return new Promise((resolve) => {
    const asked = request({ host, port, headers: { connection: 'close' } }, (response) => {
      response.resume();
      response.once('close', () => resolve(response.statusCode ?? 0));
    });
    asked.once('error', () => resolve(0));
    asked.end();
  });
}

async function end(sidecar: ChildProcess): Promise<void> {
  if (sidecar.exitCode !== null || sidecar.signalCode !== null) return;
  sidecar.kill('SIGTERM');
  await once(sidecar, 'exit');
}
