/**
 * Two network namespaces joined by a cable, made by the test and gone with it: `app` holds what is intercepted,
 * `peer` whom it talks to. Needs root, iproute2 and nftables.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { defer, type Scope } from '../cleanup.ts';
import { type RunningProcess, runProcess, startProcess } from '../processes.ts';

export interface Namespace {
  readonly name: string;
  readonly address4: string;
  readonly address6: string;
}

export interface Call {
  /** By default the application's. */
  readonly uid?: number;
  readonly address: string;
  readonly port: number;
  readonly send?: string;
  readonly until?: string;
  /** In place of bytes: a request by prior knowledge. */
  readonly http2?: { readonly authority: string; readonly path: string };
}

export interface Answer {
  readonly text: string;
  /** Node's code, `timeout`, or '' after an orderly end. */
  readonly error: string;
}

/** Nobody has these numbers in /etc/passwd. */
export const appUid = 54_321;
export const otherUid = 54_322;

/** Why the tests cannot run here; undefined where they can. */
export function whyNoNamespaces(): string | undefined {
  if (process.geteuid?.() !== 0) return 'needs root: network namespaces and nftables';
  for (const [program, args] of [
    ['ip', ['netns', 'list']],
    ['nft', ['list', 'tables']],
    ['nsenter', ['--version']],
  ] as const) {
    const { error, status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (error !== undefined || status !== 0) return `${program}: ${error?.message ?? stderr.trim()}`;
  }
  return undefined;
}

let made = 0;

export function createNamespaces(t: Scope): { readonly app: Namespace; readonly peer: Namespace } {
  made++;
  const prefix = `heddle-${process.pid}-${made}`;
  const app = { name: `${prefix}-app`, address4: '10.201.0.1', address6: 'fd00:201::1' };
  const peer = { name: `${prefix}-peer`, address4: '10.201.0.2', address6: 'fd00:201::2' };
  for (const { name } of [app, peer]) {
    ip('netns', 'add', name);
    defer(t, () => ip('netns', 'del', name));
  }
  ip('-n', app.name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peer.name);
  for (const { name, address4, address6 } of [app, peer]) {
    ip('-n', name, 'addr', 'add', `${address4}/24`, 'dev', 'eth0');
    ip('-n', name, 'addr', 'add', `${address6}/64`, 'dev', 'eth0', 'nodad');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
  }
  return { app, peer };
}

/** Starts a program of ours in the namespace. */
export function startIn(t: Scope, { name }: Namespace, args: readonly string[]): Promise<RunningProcess> {
  return startProcess(t, { command: 'ip', args: ['netns', 'exec', name, process.execPath, ...args] });
}

export async function startServers(t: Scope, where: Namespace, servers: Record<number, string>) {
  const wanted = Object.entries(servers).map(([port, kind]) => `${port}=${kind}`);
  const running = await startIn(t, where, ['test/support/netns/servers.mjs', ...wanted]);
  await running.printed(/listening/);
  return running;
}

/** One connection made in the namespace by some user. */
export async function callFrom(t: Scope, { name }: Namespace, call: Call): Promise<Answer> {
  const program = ['test/support/netns/caller.mjs', JSON.stringify({ uid: appUid, ...call })];
  const ended = await runProcess(t, {
    command: 'ip',
    args: ['netns', 'exec', name, process.execPath, ...program],
  });
  if (ended.code !== 0) throw new Error(`caller failed: ${ended.stderr}`);
  return JSON.parse(ended.stdout) as Answer;
}

/** The whole ruleset, as nft prints it. */
export function rulesetOf({ name }: Namespace): string {
  return execFileSync('ip', ['netns', 'exec', name, 'nft', 'list', 'ruleset'], { encoding: 'utf8' });
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
