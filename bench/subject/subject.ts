/**
 * What both subjects share: the command line, real sidecars started on static files, one line
 * `ready pids=…` when they serve, and their end with SIGTERM.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { globSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sidecarNodeFlags } from '../../mesh/bootstrap.ts';
import { formatStaticConfig, type StaticConfig } from '../../proto/static-config.ts';
import type { HostPort } from './static.ts';

export interface Addresses {
  readonly listen: HostPort;
  readonly upstream: HostPort;
}

export interface Subject {
  readonly upstreamProtocol: 'http1' | 'h2';
  /** Routes of the service and endpoints of its cluster, all but one of the routes for other paths. */
  readonly routes: number;
  readonly endpoints: number;
  /** Where certificates and configurations lie. */
  readonly folder: string;
  readonly addresses: Addresses;
}

const root = join(import.meta.dirname, '../..');
const bundled = join(root, 'dist', 'heddle.js');
const source = join(root, 'bin', 'heddle.mjs');
/** As the node agent starts it. */
export const sidecarFlags = ['--disable-warning=ExperimentalWarning', ...sidecarNodeFlags];
const sources = '{bin,kit,mesh,proto,certs,sidecar,node-agent,pilot,deploy/build}/**/*.{ts,mjs}';
const readyMs = 20_000;

/** Runs a sidecar for each configuration that `configure` gives, in that order, until SIGTERM or SIGINT. */
export async function runSubject(
  name: string,
  configure: (subject: Subject) => Promise<readonly StaticConfig[]>,
): Promise<void> {
  const { fromSource, ...asked } = readArguments(name);
  const program = ownProgram({ fromSource });
  const folder = mkdtempSync(join(tmpdir(), `heddle-${name}-`));
  const children: ChildProcess[] = [];
  const end = async (code: number) => {
    await Promise.all(children.map(stop));
    rmSync(folder, { recursive: true, force: true });
    process.exit(code);
  };
  process.once('SIGTERM', () => void end(0));
  process.once('SIGINT', () => void end(130));
  try {
    const configs = await configure({ ...asked, folder });
    for (const [index, config] of configs.entries()) {
      const file = join(folder, `sidecar-${index}.json`);
      writeFileSync(file, formatStaticConfig(config));
      const args = [...sidecarFlags, program, 'sidecar', 'run', '--config', file, '--print-ready'];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      children.push(child);
      await whenReady(child);
    }
    // A sidecar that falls is no subject any more.
    for (const child of children) child.once('exit', (code) => void end(code ?? 1));
    process.stdout.write(`ready pids=${children.map((child) => child.pid).join(',')}\n`);
  } catch (failure) {
    process.stderr.write(`${name}: ${failure instanceof Error ? failure.message : String(failure)}\n`);
    await end(1);
  }
}

function readArguments(name: string): Omit<Subject, 'folder'> & { fromSource: boolean } {
  const usage = `usage: node bench/subject/${name}.ts --listen HOST:PORT --upstream HOST:PORT [--upstream-protocol http1|h2] [--routes N] [--endpoints N] [--source]\n`;
  try {
    const { values } = parseArgs({
      options: {
        listen: { type: 'string' },
        upstream: { type: 'string' },
        'upstream-protocol': { type: 'string', default: 'http1' },
        routes: { type: 'string', default: '1' },
        endpoints: { type: 'string', default: '1' },
        source: { type: 'boolean', default: false },
      },
    });
    const addresses = { listen: hostPort(values.listen), upstream: hostPort(values.upstream) };
    const upstreamProtocol = values['upstream-protocol'];
    if (upstreamProtocol !== 'http1' && upstreamProtocol !== 'h2') {
      throw new Error(`--upstream-protocol is http1 or h2, not ${upstreamProtocol}`);
    }
    const [routes, endpoints] = [Number(values.routes), Number(values.endpoints)];
    return { addresses, upstreamProtocol, routes, endpoints, fromSource: values.source };
  } catch (failure) {
    process.stderr.write(`${failure instanceof Error ? failure.message : String(failure)}\n${usage}`);
    process.exit(2);
  }
}

function hostPort(text: string | undefined): HostPort {
  const [, bracketed, bare, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text ?? '') ?? [];
  const host = bracketed ?? bare ?? '';
  const number = Number(port);
  if (host === '' || !(number >= 1 && number <= 65_535)) {
    throw new Error(`expected HOST:PORT, got ${text ?? 'nothing'}`);
  }
  return { host, port: number };
}

/** The program under test: the sources, or the bundle. */
export function ownProgram({ fromSource }: { readonly fromSource: boolean }): string {
  return fromSource ? source : freshBundle();
}

/** The bundled program, built again where a source is newer. */
function freshBundle(): string {
  const builtMs = statSync(bundled, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isStale = globSync(sources, { cwd: root }).some(
    (file) => statSync(join(root, file)).mtimeMs > builtMs,
  );
  if (isStale) {
    const build = join(root, 'deploy', 'build', 'build.ts');
    execFileSync(process.execPath, [build], { cwd: root, stdio: ['ignore', 2, 2] });
  }
  return bundled;
}

function whenReady(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the sidecar was not ready in ${readyMs} ms`)), readyMs);
    const settle = (failure?: Error) => {
      clearTimeout(late);
      if (failure === undefined) resolve();
      else reject(failure);
    };
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('"ready":true')) settle();
    });
    child.once('error', settle);
    child.once('exit', (code) => settle(new Error(`the sidecar ended with ${code} before it was ready`)));
  });
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resolve();
    // Connections of the load may be open still; a benchmark does not wait for them to end.
    const last = setTimeout(() => child.kill('SIGKILL'), 1_000);
    child.once('exit', () => {
      clearTimeout(last);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
