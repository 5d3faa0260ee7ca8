/** Shows what four probes make of a proxy on http2-proxy: `node examples/http2-proxy-peer/main.ts`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { probes, type Subject, type SubjectOptions } from './probes.ts';

const program = join(import.meta.dirname, 'peer.ts');

for (const { name, run } of probes) {
  const ends: (() => void)[] = [];
  const { ok, seen } = await run((options) => startPeer(options, ends));
  process.stdout.write(`${ok ? '✔' : '✖'} ${name}\n    ${seen}\n`);
  for (const end of ends) end();
}

async function startPeer(options: SubjectOptions, ends: (() => void)[]): Promise<Subject> {
  const args = [program, String(options.upstreamPort), options.clients, options.upstream];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  ends.push(() => child.kill());
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(line.toString()) };
}
