/** `heddle agent intercept`: from what the command line says and the workload's ports to rules, and into the kernel. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { MeshError, systemReason } from '../../kit/errors.ts';
import { parseStaticConfig } from '../../proto/static-config.ts';
import { askStatus } from '../control.ts';
import { findUser } from '../supervisor/user.ts';
import { hasTable, loadRules, type Namespace } from './nft.ts';
import { type Exclusions, interceptionRules, removalRules, type Scope, tableName } from './rules.ts';
import { type Target, targetFromBootstrap, targetFromStatus } from './target.ts';

export interface InterceptOptions {
  readonly workload: string;
  readonly namespace: Namespace;
  /** Whose connections are taken; undefined leaves it to the namespace. */
  readonly user: string | undefined;
  readonly sidecarUser: string | undefined;
  /** Where the sidecar's ports are read from; undefined asks the agent. */
  readonly configFile: string | undefined;
  readonly stateDir: string;
  readonly exclusions: Exclusions;
  /** Where programs are looked for, as in PATH. */
  readonly path: string;
}

/** The rules that would be put in force. Throws MeshError or ParseFailure. */
export async function planInterception(options: InterceptOptions): Promise<string> {
  const { workload, configFile, stateDir, exclusions } = options;
  const target =
    configFile === undefined
      ? targetFromStatus(await askStatus(stateDir), workload)
      : targetFromBootstrap(readBootstrap(configFile), configFile, workload);
  const { outboundPort, inboundPort, ownPorts } = target.ports;
  const sidecarUid = sidecarUidOf(options, target);
  const scope = scopeOf(options, target);
  const appUid = scope.kind === 'user' ? scope.uid : uidOf(target.appPid);
  if (appUid === sidecarUid) {
    throw invalid(
      `the sidecar of ${workload} runs as the user of its application (${appUid}), so that their connections cannot be told apart: give the sidecar a user of its own`,
    );
  }
  const own = [...ownPorts, outboundPort, inboundPort];
  return interceptionRules({
    workload,
    outboundPort,
    inboundPort,
    sidecarUid,
    scope,
    ownPorts: own,
    exclusions,
  });
}

/** Puts the rules in force, in place of earlier ones, and says so. Throws MeshError or ParseFailure. */
export async function intercept(options: InterceptOptions): Promise<string> {
  const { workload } = options;
  await loadRules(await planInterception(options), options);
  return `connections of ${workload} go through its sidecar now (nftables table inet ${tableName(workload)})`;
}

/** Removes what `intercept` put in force; connections that stand stay. Throws MeshError. */
export async function stopIntercepting(options: InterceptOptions): Promise<string> {
  const { workload } = options;
  if (!(await hasTable(tableName(workload), options)))
    return `connections of ${workload} are not intercepted`;
  await loadRules(`${removalRules(workload)}\n`, options);
  return `connections of ${workload} are not intercepted any more`;
}

/** An address or prefix as nftables takes it. Throws an Error. */
export function parsePrefix(text: string): string {
  const [address = '', length, ...more] = text.split('/');
  const bits = isIP(address) === 4 ? 32 : 128;
  const isLength = length === undefined || (/^[0-9]{1,3}$/.test(length) && Number(length) <= bits);
  if (isIP(address) !== 0 && !address.includes('%') && isLength && more.length === 0) return text;
  throw new Error(`expected an address or a prefix like 10.0.0.0/8, got ${JSON.stringify(text)}`);
}

/** A namespace of the workload's own is taken whole; one that others share only for one user. */
function scopeOf({ namespace, user, workload }: InterceptOptions, { ports, appPid }: Target): Scope {
  if (user !== undefined) return { kind: 'user', uid: uidNamed(user), ports: ports.appPorts };
  if (namespace.kind !== 'own') return { kind: 'namespace' };
  const uid = uidOf(appPid);
  if (uid !== undefined) return { kind: 'user', uid, ports: ports.appPorts };
  throw invalid(
    `it is not known which connections here are those of ${workload}: name its user (--user), or a network namespace of its own (--netns, --pid)`,
  );
}

function sidecarUidOf({ sidecarUser, workload }: InterceptOptions, { sidecarPid }: Target): number {
  const uid = sidecarUser === undefined ? uidOf(sidecarPid) : uidNamed(sidecarUser);
  if (uid !== undefined) return uid;
  throw invalid(`the sidecar of ${workload} does not run: start it, or name its user (--sidecar-user)`);
}

/** By name or number; a number need not be in /etc/passwd. */
function uidNamed(user: string): number {
  const uid = /^[0-9]{1,10}$/.test(user) ? Number(user) : findUser(user)?.uid;
  if (uid !== undefined) return uid;
  throw invalid(`there is no user ${JSON.stringify(user)} on this host`);
}

/** The user as whom a process opens sockets; undefined where it does not run. */
function uidOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const [, uid] = /^Uid:\t[0-9]+\t([0-9]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return uid === undefined ? undefined : Number(uid);
  } catch {
    return undefined;
  }
}

function readBootstrap(file: string) {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new MeshError('invalid', `cannot read ${file}: ${systemReason(cause)}`, { origin: 'local', cause });
  }
  return parseStaticConfig(text).bootstrap;
}

function invalid(message: string): MeshError {
  return new MeshError('invalid', message, { origin: 'local' });
}
