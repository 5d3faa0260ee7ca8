/**
 * One sidecar as several processes: the group opens the listening sockets and serves nothing itself; its workers
 * inherit them, and the kernel deals connections out. A worker's death ends that worker's connections and no others;
 * another takes its place. The group hears the agent, shows the admin page with the workers' sums, and ends last.
 *
 * Counters are sums over the workers. Limits and the memory limit's share are each worker's own.
 */
import { closeSync } from 'node:fs';
import { createBackoff } from '../../kit/backoff.ts';
import { systemClock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { systemRandom } from '../../kit/random.ts';
import type { Bootstrap, IdentityBundle } from '../../mesh/bootstrap.ts';
import type { EndpointSet, Snapshot } from '../../mesh/model.ts';
import { Pool } from '../cluster/pool.ts';
import { type Door, doorsOf } from '../doors.ts';
import { openListeningSocket } from '../net/listen-fd.ts';
import { codeOf, listenError } from '../net/node-errors.ts';
import { createCredentials } from '../net/tls-credentials.ts';
import { Metrics } from '../observe/metrics.ts';
import { compileRuntime } from '../runtime/compile.ts';
import type { Resolver } from '../runtime/resolver.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { DrainKind, SidecarState } from '../sidecar.ts';
import { adminSocketName, type InheritedSockets, type OpenSocket } from '../succession.ts';
import { GroupAdmin } from './group-admin.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { spawnWorker, type WorkerProcess } from './spawn-worker.ts';

export interface GroupInit {
  readonly workers: number;
  readonly bootstrap: Bootstrap;
  readonly identity: IdentityBundle | undefined;
  readonly snapshot: Snapshot;
  readonly resolver: Resolver | undefined;
  readonly inherited: InheritedSockets;
  readonly memoryLimitBytes: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly onDrainAsked: () => void;
}

const backlog = 4096;
const restart = { baseMs: 100, maxMs: 10_000, jitter: 0.2 };

export class WorkerGroup {
  state: SidecarState = 'starting';
  readonly #init: GroupInit;
  readonly #sockets: OpenSocket[] = [];
  readonly #workers = new Set<WorkerProcess>();
  #ended = 0;
  readonly #admin: GroupAdmin;
  /** Snapshots are compiled here first, so that a bad one is refused before a worker sees it. */
  readonly #checking = { metrics: new Metrics(), random: systemRandom, createPool: idlePool };
  #checked: Runtime | undefined;
  #identity: IdentityBundle | undefined;
  #snapshot: Snapshot;

  /** Throws ParseFailure where the snapshot does not compile. */
  constructor(init: GroupInit) {
    this.#init = init;
    this.#identity = init.identity;
    this.#snapshot = init.snapshot;
    this.#check(init.snapshot);
    this.#admin = new GroupAdmin({
      workers: () => this.#workers,
      snapshot: () => this.#snapshot,
      state: () => this.state,
      ended: () => this.#ended,
      drain: init.onDrainAsked,
    });
  }

  get addresses(): {
    readonly instance: string;
    readonly listening: readonly string[];
    readonly pid: number;
  } {
    const listening = [...this.#workers][0]?.listening ?? [];
    return { instance: this.#init.bootstrap.instance, listening, pid: process.pid };
  }

  get sockets(): readonly OpenSocket[] {
    const { fd } = this.#admin;
    return fd === undefined ? this.#sockets : [...this.#sockets, { name: adminSocketName, fd }];
  }

  /** Resolves when every worker serves; throws where a socket cannot be opened or the first workers fail. */
  async start(): Promise<void> {
    const { bootstrap, identity, inherited, workers } = this.#init;
    const adminFd = inherited.take(adminSocketName);
    for (const door of doorsOf(bootstrap, identity !== undefined)) this.#open(door);
    inherited.closeRest();
    await Promise.all(Array.from({ length: workers }, () => this.#spawn()));
    // Last, for on a Unix socket it takes the place of the predecessor's.
    await this.#admin.open(bootstrap.admin, adminFd);
    this.state = 'ready';
  }

  apply(snapshot: Snapshot): void {
    this.#check(snapshot);
    this.#snapshot = snapshot;
    this.#tell({ kind: 'snapshot', snapshot });
  }

  applyEndpoints(snapshot: Snapshot, clusters: readonly string[]): void {
    this.#snapshot = snapshot;
    const sets = clusters.flatMap((name): EndpointSet[] => {
      const set = snapshot.endpoints.get(name);
      return set === undefined ? [] : [set];
    });
    this.#tell({ kind: 'endpoints', sets });
  }

  /** Throws a MeshError where the bundle is of no use; it would end the workers that are told of it. */
  renew(identity: IdentityBundle): void {
    createCredentials(identity);
    this.#identity = identity;
    this.#tell({ kind: 'identity', identity });
  }

  /** As a sidecar's own. */
  async drain(how: DrainKind): Promise<void> {
    if (this.state !== 'ready' && this.state !== 'draining') return;
    this.state = 'draining';
    for (const { fd } of this.#sockets) closeSync(fd);
    this.#sockets.length = 0;
    if (how === 'hand_over') this.#admin.handOver();
    const workers = [...this.#workers];
    this.#tell({ kind: 'drain', how });
    await Promise.all(workers.map(({ ended }) => ended));
    this.#admin.close();
    this.state = 'stopped';
  }

  #check(snapshot: Snapshot): void {
    const services = { ...this.#checking, bootstrap: this.#init.bootstrap };
    this.#checked = compileRuntime(snapshot, this.#checked, services);
  }

  #open({ name, host, port }: Door): void {
    const inherited = this.#init.inherited.take(name);
    if (inherited !== undefined) {
      this.#sockets.push({ name, fd: inherited });
      return;
    }
    try {
      const fd = openListeningSocket({ host, port }, backlog);
      if (fd === undefined) throw new Error('several workers need node:ffi to share their sockets');
      this.#sockets.push({ name, fd });
    } catch (cause) {
      // A machine may be without IPv6.
      const isAbsent = host.startsWith('::') && ['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(codeOf(cause));
      if (!isAbsent) throw listenError(cause, host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
    }
  }

  /** Resolves when the worker serves for the first time; afterwards one that falls is replaced. */
  async #spawn(): Promise<void> {
    const backoff = createBackoff(restart, systemRandom);
    const worker = await this.#spawnOnce();
    const replace = async (): Promise<void> => {
      while (this.state !== 'draining' && this.state !== 'stopped') {
        await new Promise<void>((resolve) => {
          systemClock.after(backoff.nextMs(), resolve);
        });
        // Another may still be in its start.
        if (this.state !== 'ready') continue;
        try {
          const next = await this.#spawnOnce();
          this.#init.log.info('worker replaced', { pid: next.pid });
          const fromMs = systemClock.nowMs();
          await next.ended;
          if (systemClock.nowMs() - fromMs > restart.maxMs) backoff.reset();
        } catch (thrown) {
          this.#init.log.error('worker did not come up', { reason: String(thrown) });
        }
      }
    };
    void worker.ended.then(replace);
  }

  async #spawnOnce(): Promise<WorkerProcess> {
    const { environment, bootstrap, memoryLimitBytes, workers, resolver, log } = this.#init;
    const worker = spawnWorker(this.#sockets, environment, (message) => this.#hear(worker, message));
    this.#workers.add(worker);
    void worker.ended.then((why) => {
      this.#workers.delete(worker);
      if (this.state !== 'ready') return;
      this.#ended++;
      log.error('worker ended', { pid: worker.pid, why });
    });
    worker.send({
      kind: 'start',
      bootstrap,
      identity: this.#identity,
      snapshot: this.#snapshot,
      memoryLimitBytes: Math.floor(memoryLimitBytes / workers),
      resolves: resolver !== undefined,
    });
    await worker.ready;
    return worker;
  }

  #hear(worker: WorkerProcess, message: FromWorker): void {
    if (message.kind === 'resolve') {
      this.#init.resolver?.resolve(message.authority, (answer) =>
        worker.send({ kind: 'resolved', authority: message.authority, answer }),
      );
    } else if (message.kind === 'report') this.#admin.take(worker, message);
  }

  #tell(message: ToWorker): void {
    for (const worker of this.#workers) worker.send(message);
  }
}

/** For a runtime that is only checked. */
function idlePool(): Pool {
  const connect = () => {
    throw new MeshError('internal', 'a checked runtime dials nobody', { origin: 'local' });
  };
  return new Pool({ connect, requestsPerConnection: 1, maxConnections: 0, maxWaiting: 0 });
}
