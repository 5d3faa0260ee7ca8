/**
 * The data plane of one instance: owns the entrances, the clusters and the configuration in force.
 *
 *   starting ─first snapshot, entrances open▶ ready ─drain▶ draining ─all ended or time up▶ stopped
 */
import { randomInt } from 'node:crypto';
import { type Clock, sleep, type Timer } from '../kit/clock.ts';
import { MeshError } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import type { Random } from '../kit/random.ts';
import type { Bootstrap, IdentityBundle } from '../mesh/bootstrap.ts';
import type { Snapshot } from '../mesh/model.ts';
import type { AdminActions } from './admin/admin.ts';
import { AdminServer } from './admin/server.ts';
import { createPoolFactory, type ReachServices } from './cluster/reach.ts';
import { FieldMemo } from './codec/field-memo.ts';
import { limits as http1Limits } from './codec/http1/limits.ts';
import { limits } from './codec/http2/limits.ts';
import { WindowBudget } from './codec/http2/window.ts';
import { createCodecs } from './codec/index.ts';
import { Entrances } from './entrances.ts';
import { exposedPorts } from './exposure.ts';
import { memoryParts, releaseGarbage, releaseMemory, usedMemory } from './memory.ts';
import { DescriptorBudget, openFilesLimit } from './net/descriptors.ts';
import { createFlusher } from './net/flush.ts';
import { OwnSources } from './net/own-sources.ts';
import { untilResetsLeft } from './net/socket-conn.ts';
import { TimerWheel } from './net/timer-wheel.ts';
import { createCredentials, type TlsCredentials } from './net/tls-credentials.ts';
import { AccessLog } from './observe/access-log.ts';
import { type Gauges, renderMetrics } from './observe/exposition.ts';
import { Metrics, type MetricsReading } from './observe/metrics.ts';
import { Overload } from './overload.ts';
import { reauthorize } from './proxy/inbound.ts';
import { LiveList } from './proxy/live-list.ts';
import { noPressure } from './proxy/pressure.ts';
import { RequestIds } from './proxy/request-ids.ts';
import type { ProxyState } from './proxy/serve.ts';
import { DateStamp } from './proxy/stamp.ts';
import { releaseAfterFloods, releaseWhenQuiet } from './quiet.ts';
import { compileRuntime, settleClusters } from './runtime/compile.ts';
import type { Resolver } from './runtime/resolver.ts';
import type { Runtime } from './runtime/runtime.ts';
import { adminSocketName, type InheritedSockets, type OpenSocket } from './succession.ts';

export interface SidecarInit {
  readonly bootstrap: Bootstrap;
  /** Undefined for a sidecar that speaks plaintext only. */
  readonly identity: IdentityBundle | undefined;
  readonly snapshot: Snapshot;
  readonly resolver: Resolver | undefined;
  /** Listening sockets of the process that this one succeeds. */
  readonly inherited: InheritedSockets;
  /** A worker's admin page is its group's. */
  readonly adminPage: 'own' | 'elsewhere';
  /** Memory that this process may use. */
  readonly memoryLimitBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The drain was asked for through the admin page. */
  readonly onDrainAsked: () => void;
}

export interface SidecarReport {
  readonly metrics: MetricsReading;
  readonly gauges: Gauges;
  readonly clusters: readonly unknown[];
  readonly overload: unknown;
}

export type SidecarState = 'starting' | 'ready' | 'draining' | 'stopped';

/** How long requests in flight may take to end. */
const drainMs = 30_000;
/** How long an idle connection is kept for one more request while a successor serves already. */
const handOverIdleMs = 30_000;
/** How long a process that has handed over may take; nobody waits for it. */
const handOverMs = 40_000;
/** The same for whom the first doors let in before another could not be opened; a predecessor waits longer. */
const failedStartIdleMs = 15_000;
const failedStartMs = 20_000;
/** `stop`: nobody serves after this one. `hand_over`: a successor serves on the same sockets already. */
export type DrainKind = 'stop' | 'hand_over';
interface DrainTimes {
  readonly patienceMs: number;
  readonly totalMs: number;
}
const failedStart: DrainTimes = { patienceMs: failedStartIdleMs, totalMs: failedStartMs };
const drainTimes: Record<DrainKind, DrainTimes> = {
  stop: { patienceMs: http1Limits.drainIdleMs, totalMs: drainMs },
  hand_over: { patienceMs: handOverIdleMs, totalMs: handOverMs },
};
const drainStepMs = 20;
/** How often callers' certificates are looked at again. */
const expiryCheckMs = 1_000;

export class Sidecar {
  state: SidecarState = 'starting';
  readonly #init: SidecarInit;
  readonly #metrics = new Metrics();
  readonly #accessLog: AccessLog;
  readonly #proxy: ProxyState;
  readonly #reach: ReachServices;
  readonly #entrances: Entrances;
  readonly #admin: AdminServer;
  readonly #descriptors = new DescriptorBudget(openFilesLimit());
  readonly #overload: Overload;
  #credentials: TlsCredentials | undefined;
  #expiryTimer: Timer | undefined;
  #quietTimer: Timer | undefined;
  #floodTimer: Timer | undefined;
  #warnedPorts = '';
  #drained: Promise<void> | undefined;
  #patientUntilMs = Number.POSITIVE_INFINITY;
  #drainUntilMs = Number.POSITIVE_INFINITY;

  /** Throws ParseFailure where the snapshot does not compile, a MeshError where the identity is of no use. */
  constructor(init: SidecarInit) {
    const { clock, random, log, bootstrap } = init;
    this.#init = init;
    this.#credentials = init.identity === undefined ? undefined : createCredentials(init.identity);
    this.#accessLog = new AccessLog({ file: bootstrap.accessLogFile, random, clock });
    const timers = new TimerWheel(clock);
    const net = { flusher: createFlusher(), timers, full: { count: 0 }, descriptors: this.#descriptors };
    const memo = new FieldMemo(randomInt(2 ** 32));
    const codecs = createCodecs({ ...net, random, windowBudget: windowBudgetFor(init.memoryLimitBytes) });
    const ownSources = bootstrap.transparent === undefined ? undefined : new OwnSources();
    this.#reach = { net, clock, codecs, memo, credentials: () => this.#credentials, ownSources };
    const runtime = this.#compile(init.snapshot, undefined);
    this.#proxy = {
      runtime,
      clock,
      timers,
      metrics: this.#metrics,
      accessLog: this.#accessLog,
      requestIds: new RequestIds(),
      dates: new DateStamp(clock),
      random,
      live: new LiveList(),
      log,
      tunnels: new Set(),
      inboundTunnels: new Set(),
      pressure: noPressure(),
    };
    this.#overload = new Overload({
      limitBytes: init.memoryLimitBytes,
      clock,
      log,
      usedBytes: usedMemory,
      pressure: this.#proxy.pressure,
      shrink: () => this.#shrink(),
      collect: releaseMemory,
    });
    settleClusters(runtime, undefined);
    this.#accessLog.mode = init.snapshot.self.accessLog;
    const { resolver, inherited } = init;
    this.#entrances = new Entrances({
      proxy: this.#proxy,
      reach: this.#reach,
      resolver,
      inherited,
    });
    this.#admin = new AdminServer(this.#reach, this.#adminActions());
  }

  /** Where it listens, for logs and scripts. */
  get addresses(): {
    readonly instance: string;
    readonly listening: readonly string[];
    readonly pid: number;
  } {
    return {
      instance: this.#init.bootstrap.instance,
      listening: this.#entrances.addresses,
      pid: process.pid,
    };
  }

  /** Its listening sockets, for a successor. */
  get sockets(): readonly OpenSocket[] {
    const { fd } = this.#admin;
    return fd === undefined
      ? this.#entrances.sockets
      : [...this.#entrances.sockets, { name: adminSocketName, fd }];
  }

  /** Opens every way in; throws a MeshError for the first that cannot be opened. */
  async start(): Promise<void> {
    try {
      await this.#open();
    } catch (thrown) {
      await this.#drainFor(failedStart);
      throw thrown;
    }
    this.#overload.start();
    const metrics = this.#metrics;
    const work = () => metrics.ended + metrics.accepted;
    const { clock } = this.#init;
    this.#quietTimer = releaseWhenQuiet({ clock, work, release: releaseMemory });
    this.#floodTimer = releaseAfterFloods({ clock, floods: () => metrics.floods, release: releaseGarbage });
    this.#expiryTimer = clock.every(expiryCheckMs, () => this.#entrances.endExpired());
    this.state = 'ready';
    await this.#warnOfExposure();
  }

  async #open(): Promise<void> {
    const { bootstrap, inherited, adminPage } = this.#init;
    await this.#entrances.open(bootstrap, this.#credentials);
    // Last, for on a Unix socket it takes the place of the predecessor's, which would not get it back.
    if (adminPage === 'own') await this.#admin.open(bootstrap.admin, inherited.take(adminSocketName));
    inherited.closeRest();
  }

  /** Puts a snapshot in force, whole. Throws ParseFailure with every problem; then the one before stays. */
  apply(snapshot: Snapshot): void {
    const before = this.#proxy.runtime;
    let runtime: Runtime;
    try {
      runtime = this.#compile(snapshot, before);
    } catch (thrown) {
      this.#metrics.configRejected++;
      throw thrown;
    }
    this.#proxy.runtime = runtime;
    settleClusters(runtime, before);
    this.#accessLog.mode = snapshot.self.accessLog;
    reauthorize(this.#proxy);
    void this.#warnOfExposure();
  }

  /** The fast lane: endpoint sets of these clusters changed and nothing else. */
  applyEndpoints(snapshot: Snapshot, clusters: readonly string[]): void {
    const runtime = { ...this.#proxy.runtime, snapshot };
    this.#proxy.runtime = runtime;
    for (const name of clusters) {
      const set = snapshot.endpoints.get(name);
      if (set !== undefined) runtime.clusters.get(name)?.setEndpoints(set);
    }
  }

  /** New connections show and check the new bundle; links are replaced, make before break. */
  renew(bundle: IdentityBundle): void {
    const credentials = createCredentials(bundle);
    this.#credentials = credentials;
    this.#entrances.renew(credentials);
    for (const cluster of this.#proxy.runtime.clusters.values()) cluster.replaceConnections();
  }

  /**
   * Lets everything in flight end, 30 s long at most, 40 s where a successor serves; resolves when the sidecar may go.
   * A `stop` shortens a hand-over that is under way.
   */
  async drain(kind: DrainKind): Promise<void> {
    if (this.state !== 'ready' && this.state !== 'draining') return;
    // Its page is the successor's from now on.
    if (kind === 'hand_over') this.#admin.handOver();
    await this.#drainFor(drainTimes[kind]);
  }

  async #drainFor({ patienceMs, totalMs }: DrainTimes): Promise<void> {
    const nowMs = this.#init.clock.nowMs();
    this.#patientUntilMs = Math.min(this.#patientUntilMs, nowMs + patienceMs);
    this.#drainUntilMs = Math.min(this.#drainUntilMs, nowMs + totalMs);
    this.state = 'draining';
    this.#entrances.drain(patienceMs);
    this.#drained ??= this.#endWhenIdle();
    await this.#drained;
  }

  async #endWhenIdle(): Promise<void> {
    const { clock } = this.#init;
    while (this.#isBusy() && clock.nowMs() < this.#drainUntilMs) await sleep(clock, drainStepMs);
    await this.stop();
  }

  async stop(): Promise<void> {
    if (this.state === 'stopped') return;
    this.state = 'stopped';
    const error = new MeshError('draining', 'the sidecar stops', { origin: 'local' });
    this.#expiryTimer?.cancel();
    this.#overload.stop();
    this.#quietTimer?.cancel();
    this.#floodTimer?.cancel();
    this.#entrances.close(error);
    for (const cluster of this.#proxy.runtime.clusters.values()) cluster.destroy(error);
    for (const { app, http2 } of this.#proxy.runtime.inbound.values()) {
      app.destroy(error);
      http2?.cluster.destroy(error);
    }
    this.#admin.close();
    await this.#accessLog.close();
    // The process may end with this turn.
    await untilResetsLeft();
  }

  /** Also with connections that have said nothing yet, or are in their handshake: a request may follow. */
  #isBusy(): boolean {
    if (this.#entrances.connections > 0 || this.#metrics.active > 0) return true;
    return this.#descriptors.downstream > 0 && this.#init.clock.nowMs() < this.#patientUntilMs;
  }

  /** Gives back what lies idle, on both sides. */
  #shrink(): void {
    const { clusters, inbound } = this.#proxy.runtime;
    this.#entrances.shrink();
    for (const cluster of clusters.values()) cluster.shrink();
    for (const { app } of inbound.values()) app.shrink();
  }

  #compile(snapshot: Snapshot, before: Runtime | undefined): Runtime {
    const { bootstrap, random } = this.#init;
    const createPool = createPoolFactory(this.#reach);
    return compileRuntime(snapshot, before, { bootstrap, createPool, metrics: this.#metrics, random });
  }

  #adminActions(): AdminActions {
    return {
      whyNotReady: () => (this.state === 'ready' ? undefined : this.state),
      metrics: () => renderMetrics(this.#metrics.reading(), this.#gauges()),
      config: () => this.#proxy.runtime.snapshot,
      clusters: () => this.#clusters(),
      overload: () => this.#describeOverload(),
      drain: () => this.#init.onDrainAsked(),
    };
  }

  /** What the admin page shows of this process, for whoever shows several as one. */
  get report(): SidecarReport {
    return {
      metrics: this.#metrics.reading(),
      gauges: this.#gauges(),
      clusters: this.#clusters(),
      overload: this.#describeOverload(),
    };
  }

  #gauges(): Gauges {
    return {
      pid: process.pid,
      configVersion: this.#proxy.runtime.snapshot.version.revision,
      certificateExpirySeconds: (this.#credentials?.svid.notAfterMs ?? 0) / 1000,
      accessLogDropped: this.#accessLog.dropped,
      overloadLevel: this.#overload.rank,
      memoryUsedBytes: usedMemory(),
      memoryLimitBytes: this.#overload.limitBytes,
      requestsShed: this.#proxy.pressure.shed,
      connectionsOpen: { downstream: this.#descriptors.downstream, upstream: this.#descriptors.upstream },
      connectionsDropped: this.#descriptors.dropped,
      dialsRefused: this.#descriptors.refusedDials,
      workersEnded: 0,
    };
  }

  #clusters(): unknown[] {
    return [...this.#proxy.runtime.clusters.values()].map(describeCluster);
  }

  #describeOverload(): unknown {
    const { level, entered, limitBytes } = this.#overload;
    const { total, perSide, downstream, upstream, dropped, refusedDials } = this.#descriptors;
    return {
      level,
      entered,
      memory: { usedBytes: usedMemory(), limitBytes, ...memoryParts() },
      requestsShed: this.#proxy.pressure.shed,
      descriptors: { total, perSide, downstream, upstream, dropped, refusedDials },
    };
  }

  /** In strict mode an application that others can reach past us is worth a line, once for each set of ports. */
  async #warnOfExposure(): Promise<void> {
    const { bootstrap, log } = this.#init;
    const strict = [...this.#proxy.runtime.inbound.values()].filter(({ port }) => port.mtls === 'strict');
    const ports = bootstrap.apps
      .filter((app) => strict.some(({ port }) => port.port === app.port))
      .map((app) => app.appPort);
    const exposed = await exposedPorts(ports);
    if (exposed.length === 0 || exposed.join() === this.#warnedPorts) return;
    this.#warnedPorts = exposed.join();
    log.warn('application listens beyond loopback, callers can go past mTLS', { ports: exposed });
  }
}

/** What streams may grow to is a part of the memory there is. */
const windowGrowthPart = 1 / 32;

function windowBudgetFor(memoryLimitBytes: number): WindowBudget {
  return new WindowBudget(Math.min(limits.windowGrowthPerProcess, memoryLimitBytes * windowGrowthPart));
}

function describeCluster(
  cluster: Runtime['clusters'] extends ReadonlyMap<string, infer Live> ? Live : never,
): unknown {
  return {
    name: cluster.description.name,
    active: cluster.active,
    endpointVersion: cluster.endpointVersion,
    endpoints: [...cluster.hosts].map((host) => ({
      ...host.endpoint,
      active: host.active,
      connections: host.pool.connections,
      waiting: host.pool.waiting,
    })),
  };
}
