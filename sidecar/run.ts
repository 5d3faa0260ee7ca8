/** Runs one sidecar until it is told to go: from a static file, or from what the node agent sends. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemClock } from '../kit/clock.ts';
import { MeshError, systemReason } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import { ParseFailure } from '../kit/parse.ts';
import { systemRandom } from '../kit/random.ts';
import type { Bootstrap, IdentityBundle } from '../mesh/bootstrap.ts';
import type { Snapshot } from '../mesh/model.ts';
import { parseStaticConfig, type StaticIdentity } from '../proto/static-config.ts';
import { setLimits } from './limits.ts';
import { AgentSource } from './runtime/agent-source.ts';
import type { Resolver } from './runtime/resolver.ts';
import { Sidecar } from './sidecar.ts';
import type { InheritedSockets, OpenSocket } from './succession.ts';
import { WorkerGroup } from './workers/group.ts';

/** A running sidecar, as `main.ts` holds it. */
export interface Running {
  /** Lets requests in flight end; resolves when the process may go. Cuts a hand-over short that is under way. */
  drain(): Promise<void>;
  /**
   * Starts a successor on the same listening sockets and drains once it serves; resolves when this process may go.
   * Rejects where the successor does not come up; then this process goes on.
   */
  replace(): Promise<void>;
}

/** The sidecar of this process, or a group of worker processes: the same from outside. */
export type DataPlane = Pick<
  Sidecar,
  'start' | 'apply' | 'applyEndpoints' | 'renew' | 'drain' | 'sockets' | 'addresses'
>;

export interface RunOptions {
  readonly log: Log;
  /** Processes that share the listening sockets; 1 serves in this process. */
  readonly workers: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly inherited: InheritedSockets;
  /** Memory that the process may use. */
  readonly memoryLimitBytes: number;
  /** Starts this program again with these sockets; resolves when that process serves. */
  readonly startSuccessor: (sockets: readonly OpenSocket[]) => Promise<void>;
  /** Called when the sidecar serves. */
  readonly onReady: (sidecar: DataPlane) => void;
  /** Something asked for the end: the admin page, or a failure that leaves nothing to serve. */
  readonly onEnd: (error: unknown) => void;
}

/** Starts from a file; throws ParseFailure or MeshError where it cannot. */
export async function runStatic(path: string, options: RunOptions): Promise<Running> {
  const config = readConfig(path);
  const identity = readIdentity(config.identity, dirname(resolve(path)));
  const sidecar = createSidecar(config.bootstrap, identity, config.snapshot, undefined, options);
  await sidecar.start();
  options.onReady(sidecar);
  return {
    drain: () => sidecar.drain('stop'),
    async replace() {
      await options.startSuccessor(sidecar.sockets);
      await sidecar.drain('hand_over');
    },
  };
}

export interface AgentAddress {
  readonly socketPath: string;
  readonly instance: string;
}

/** Starts once the agent has sent addresses, identity and a snapshot; it waits for them as long as it takes. */
export function runWithAgent(agent: AgentAddress, options: RunOptions): Running {
  let bootstrap: Bootstrap | undefined;
  let identity: IdentityBundle | undefined;
  let snapshot: Snapshot | undefined;
  let sidecar: DataPlane | undefined;

  const begin = () => {
    if (sidecar !== undefined || bootstrap === undefined || identity === undefined || snapshot === undefined)
      return;
    const created = createSidecar(bootstrap, identity, snapshot, source.resolver, options);
    sidecar = created;
    created.start().then(
      () => {
        source.report('ready');
        options.onReady(created);
      },
      (error: unknown) => options.onEnd(error),
    );
  };
  const source = new AgentSource(
    { ...agent, clock: systemClock, random: systemRandom, log: options.log },
    {
      onBootstrap(received) {
        bootstrap ??= received;
        begin();
      },
      onIdentity(received) {
        identity = received;
        if (sidecar === undefined) begin();
        else sidecar.renew(received);
      },
      onSnapshot(received) {
        snapshot = received;
        if (sidecar === undefined) begin();
        else sidecar.apply(received);
      },
      onEndpoints(received, clusters) {
        snapshot = received;
        sidecar?.applyEndpoints(received, clusters);
      },
    },
  );
  source.start();
  return {
    async drain() {
      source.report('draining');
      await sidecar?.drain('stop');
      source.stop();
    },
    async replace() {
      if (sidecar === undefined) throw new MeshError('unavailable', 'nothing to hand over yet', local);
      await options.startSuccessor(sidecar.sockets);
      // The agent speaks to the successor from now on.
      source.stop();
      await sidecar.drain('hand_over');
    },
  };
}

const local = { origin: 'local' } as const;

function createSidecar(
  bootstrap: Bootstrap,
  identity: IdentityBundle | undefined,
  snapshot: Snapshot,
  resolver: Resolver | undefined,
  options: RunOptions,
): DataPlane {
  const { log, onEnd, inherited, memoryLimitBytes, workers, environment } = options;
  const told = { bootstrap, identity, snapshot, resolver, inherited, memoryLimitBytes, log };
  const onDrainAsked = () => onEnd(undefined);
  setLimits(bootstrap.limits ?? {});
  if (workers > 1) return new WorkerGroup({ ...told, workers, environment, onDrainAsked });
  return new Sidecar({
    ...told,
    adminPage: 'own',
    clock: systemClock,
    random: systemRandom,
    onDrainAsked,
  });
}

function readConfig(path: string) {
  const text = readText(path);
  try {
    return parseStaticConfig(text);
  } catch (thrown) {
    if (!(thrown instanceof ParseFailure)) throw thrown;
    throw new ParseFailure(thrown.problems.map((problem) => ({ ...problem, source: path })));
  }
}

function readIdentity(identity: StaticIdentity, folder: string): IdentityBundle | undefined {
  switch (identity.kind) {
    case 'none':
      return undefined;
    case 'inline':
      return identity.bundle;
    case 'files': {
      const { privateKey, certificateChain, trustBundle } = identity.files;
      const read = (path: string) => readText(resolve(folder, path));
      return {
        privateKey: read(privateKey),
        certificateChain: read(certificateChain),
        trustBundle: read(trustBundle),
      };
    }
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new MeshError('invalid', `cannot read ${path}: ${systemReason(cause)}`, { origin: 'local', cause });
  }
}
