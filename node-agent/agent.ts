/**
 * One node agent: takes its state folder, joins or takes up its membership, starts what is on disk, and then follows
 * the pilot. Nothing of what runs depends on it being alive.
 */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyPairKeeper } from '../certs/client/key-pair-keeper.ts';
import { ensurePrivateFolder } from '../kit/atomic-file.ts';
import type { Clock } from '../kit/clock.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import type { Random } from '../kit/random.ts';
import type { OutboundPolicy } from '../mesh/bootstrap.ts';
import type { Locality } from '../mesh/model.ts';
import type { InstanceReport, NodeFacts, Placement } from '../mesh/placement.ts';
import { decodePlacement, encodePlacement } from '../proto/placement.ts';
import { programProtocol } from '../proto/protocol.ts';
import { issueWorkload, renewNode } from '../proto/rpc.ts';
import { ConfigHub } from './config/hub.ts';
import { encodeConfig, restoreConfig } from './config/saved-config.ts';
import { type AgentStatus, type InstanceStatusLine, openControl } from './control.ts';
import { lockStateDir } from './disk/lock.ts';
import { readSaved } from './disk/saved-file.ts';
import { createSavedWriter, type SavedWriter } from './disk/saved-writer.ts';
import { openNodeIdentity } from './identity/node-identity.ts';
import { keyOf, WorkloadIdentities } from './identity/workload-identities.ts';
import { interceptedPorts } from './intercept/target.ts';
import type { Membership } from './membership.ts';
import { addressTowards, loopbackAddresses, parseHostPort } from './pilot/address.ts';
import { PilotConnection } from './pilot/connection.ts';
import { Reporter } from './pilot/reporter.ts';
import { proxyUrl } from './plan/environment.ts';
import { Relays } from './relay/relays.ts';
import { isPortFree } from './supervisor/ports.ts';
import { createProcessTable, readBootId } from './supervisor/proc.ts';
import { runProbe } from './supervisor/readiness.ts';
import { createSpawn } from './supervisor/spawn.ts';
import { Supervisor } from './supervisor/supervisor.ts';

export interface AgentOptions {
  readonly node: string;
  /** Join addresses of pilots, `HOST:PORT`; needed until the node has joined. */
  readonly pilots: readonly string[];
  readonly token: string | undefined;
  /** How long a pilot is waited for at the join. */
  readonly joinPatienceMs: number;
  /** An absolute path. */
  readonly stateDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Where other nodes reach this one; empty: the address that leads to the pilot. */
  readonly addresses: readonly string[];
  readonly network: string;
  readonly locality: Locality;
  readonly allowShortLifetimes: boolean;
  /** Sidecars open ports for intercepted connections, with this policy; undefined: they do not. */
  readonly transparent?: OutboundPolicy | undefined;
  /** The user that sidecars run as; undefined is the workload's. Only an agent that is root can obey. */
  readonly sidecarUser?: string | undefined;
  /** Program and first arguments that run `heddle`. */
  readonly heddle: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RunningAgent {
  status(): AgentStatus;
  /** `leave`: what runs goes on without the agent. `stop`: sidecars drain, then everything ends. */
  close(processes: 'leave' | 'stop'): Promise<void>;
}

/** Configuration changes with every endpoint; a write may wait for the next ones. */
const configDelayMs = 500;
const placementDelayMs = 10;

/** Starts an agent. Throws MeshError in one line where it cannot. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { stateDir, log, clock, random, node } = options;
  const closers: (() => void | Promise<void>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    prepareStateDir(stateDir);
    const lock = lockStateDir(stateDir);
    closers.push(() => lock.release());
    let agent: Agent | undefined;
    const idle = (): AgentStatus => ({ node, pid: process.pid, pilot: null, instances: [] });
    // It also keeps the process alive while there is nothing but timers.
    const control = await openControl(stateDir, () => agent?.status() ?? idle(), log);
    closers.push(() => control.close());
    const { membership, keeper } = await openNodeIdentity({
      stateDir,
      node,
      pilots: options.pilots,
      token: options.token,
      joinPatienceMs: options.joinPatienceMs,
      clock,
      random,
      log,
      issue: async (csr, signal) => {
        if (agent === undefined) throw new MeshError('unavailable', 'starting', { origin: 'local' });
        return agent.renewNode(csr, signal);
      },
    });
    closers.push(() => keeper.close());
    const settings = { ...options, addresses: await ownAddresses(options, membership) };
    agent = new Agent(settings, membership, keeper);
    const started = agent;
    closers.push(() => started.close());
    await started.start();
    return {
      status: () => started.status(),
      async close(processes) {
        if (processes === 'stop') await started.stopAll();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

class Agent {
  readonly #options: AgentOptions;
  readonly #membership: Membership;
  readonly #keeper: KeyPairKeeper;
  readonly #hub: ConfigHub;
  readonly #relays: Relays;
  readonly #identities: WorkloadIdentities;
  readonly #supervisor: Supervisor;
  readonly #reporter: Reporter;
  readonly #connection: PilotConnection;
  readonly #configWriter: SavedWriter;
  readonly #placementWriter: SavedWriter;
  #placement: Placement | undefined;

  constructor(options: AgentOptions, membership: Membership, keeper: KeyPairKeeper) {
    const { stateDir, clock, random, log } = options;
    const bootId = readBootId();
    const facts: NodeFacts = { ...options, bootId };
    this.#options = options;
    this.#membership = membership;
    this.#keeper = keeper;
    this.#configWriter = createSavedWriter({
      path: join(stateDir, 'config'),
      delayMs: configDelayMs,
      clock,
      log,
      payload: () => encodeConfig(this.#hub),
    });
    this.#placementWriter = createSavedWriter({
      path: join(stateDir, 'placement'),
      delayMs: placementDelayMs,
      clock,
      log,
      payload: () => (this.#placement === undefined ? Buffer.alloc(0) : encodePlacement(this.#placement)),
    });
    this.#hub = new ConfigHub({
      node: options.node,
      bootId,
      log,
      onPlacement: (placement) => this.#take(placement),
      onTrust: (trustBundle) => this.#trust(trustBundle),
      onChange: () => this.#configWriter.soon(),
    });
    this.#relays = new Relays(options, this.#hub, log);
    this.#identities = new WorkloadIdentities({
      folder: join(stateDir, 'identities'),
      clock,
      random,
      log,
      issue: async ({ namespace, workload }, csr, signal) => {
        const request = { protocol: programProtocol, namespace, workload, csr };
        return (await this.#connection.call(issueWorkload, request, signal)).certificate;
      },
      onIdentity: (workload, identity) => {
        for (const { id } of this.#supervisor.placed().filter((one) => keyOf(one.workload) === workload)) {
          this.#hub.setIdentity(id, identity);
        }
      },
    });
    const table = createProcessTable();
    this.#supervisor = new Supervisor({
      settings: { ...options, loopback: loopbackAddresses() },
      clock,
      random,
      table,
      spawn: createSpawn(table),
      probe: runProbe,
      isPortFree,
      log,
      onPlanned: async (instance) => {
        await this.#relays.open(instance);
        const identity = this.#identities.current(keyOf(instance.workload));
        this.#hub.feed(instance.id);
        if (identity !== undefined) this.#hub.setIdentity(instance.id, identity);
      },
      onGone: (id) => {
        this.#hub.drop(id);
        this.#reporter.gone(id);
        this.#relays.close(id).catch((error: unknown) => {
          log.error('relay not closed', { instance: id, reason: messageOf(error) });
        });
      },
      onReport: (report) => this.#reporter.changed(report),
    });
    this.#reporter = new Reporter({
      facts,
      clock,
      instances: () => this.#supervisor.reports(),
      restart: (id) => this.#supervisor.restart(id),
    });
    this.#connection = new PilotConnection({
      addresses: membership.pilots,
      trustDomain: membership.trustDomain,
      identity: () => keeper.current?.bundle,
      clock,
      random,
      log,
      onOpen: ({ config, report }) => {
        this.#hub.connect(config);
        this.#reporter.connect({ config, report });
      },
      onConfig: (response) => {
        this.#hub.take(response);
        if (response.kind === 'hello') this.#identities.retry();
      },
      onOrder: (order) => this.#reporter.take(order),
      onClose: () => {
        this.#hub.disconnect();
        this.#reporter.disconnect();
      },
    });
  }

  /** Starts what is on disk, then looks for a pilot. */
  async start(): Promise<void> {
    const { stateDir, log } = this.#options;
    const config = readSaved(join(stateDir, 'config'), log);
    if (config !== undefined) restoreConfig(this.#hub, config, log);
    const placement = loadPlacement(stateDir, log);
    if (placement !== undefined) await this.#follow(placement);
    this.#keeper.start();
    this.#connection.start();
    let first: 'first' | 'later' = 'first';
    this.#keeper.subscribe(() => {
      if (first === 'later') this.#connection.reopen();
    });
    first = 'later';
  }

  async renewNode(csr: Buffer, signal: AbortSignal) {
    const request = { protocol: programProtocol, csr };
    return (await this.#connection.call(renewNode, request, signal)).certificate;
  }

  status(): AgentStatus {
    const expiries = this.#identities.expiries();
    return {
      node: this.#options.node,
      pid: process.pid,
      pilot: this.#connection.pilot ?? null,
      instances: [
        ...this.#supervisor.placed().map(({ workload, bootstrap, report, running }) => ({
          ...report,
          sidecarPid: running.sidecar?.ref.pid ?? null,
          appPid: running.app?.ref.pid ?? null,
          identity: this.#identities.nameOf(keyOf(workload)) ?? '',
          certificateEndsMs: expiries.get(keyOf(workload)) ?? null,
          proxy: proxyUrl(bootstrap),
          intercepted: interceptedPorts(bootstrap) ?? null,
        })),
        ...this.#supervisor.refused().map(notStarted),
      ],
    };
  }

  async stopAll(): Promise<void> {
    await this.#supervisor.stopAll();
  }

  async close(): Promise<void> {
    this.#connection.close();
    this.#identities.close();
    this.#supervisor.close();
    this.#configWriter.close();
    this.#placementWriter.close();
    await this.#relays.closeAll();
  }

  #take(placement: Placement): void {
    const { log } = this.#options;
    const known = this.#placement?.version ?? -1;
    if (placement.version < known) {
      log.warn('placement ignored, a later one is known', { version: placement.version, known });
      return;
    }
    log.info('placement', { version: placement.version, workloads: placement.workloads.length });
    this.#placement = placement;
    this.#placementWriter.soon();
    this.#follow(placement).catch((error: unknown) => {
      log.error('placement not followed', { version: placement.version, reason: messageOf(error) });
    });
  }

  async #follow(placement: Placement): Promise<void> {
    this.#placement = placement;
    this.#identities.follow(this.#membership.trustDomain, placement.workloads);
    await this.#supervisor.apply(placement);
    this.#hub.dropOthers(new Set(this.#supervisor.ids()));
  }

  #trust(trustBundle: string): void {
    try {
      this.#keeper.trust(trustBundle);
    } catch (error) {
      this.#options.log.warn('the node is under no trusted root, asking for another certificate', {
        reason: messageOf(error),
      });
      this.#keeper.renewNow();
    }
    this.#identities.trust(trustBundle);
  }
}

function notStarted(report: InstanceReport): InstanceStatusLine {
  const nothing = { sidecarPid: null, appPid: null, certificateEndsMs: null, intercepted: null };
  return { ...report, ...nothing, identity: '', proxy: '' };
}

/** Private, but for root: then workloads of other users must reach what is theirs in it. */
function prepareStateDir(stateDir: string): void {
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  try {
    for (const name of ['', 'run', 'logs', 'work']) {
      const folder = join(stateDir, name);
      ensurePrivateFolder(folder);
      chmodSync(folder, mode);
    }
    ensurePrivateFolder(join(stateDir, 'identities'));
  } catch (cause) {
    throw new MeshError('unavailable', `the state folder ${stateDir} cannot be used: ${messageOf(cause)}`, {
      origin: 'local',
      cause,
    });
  }
}

function loadPlacement(stateDir: string, log: Log): Placement | undefined {
  const bytes = readSaved(join(stateDir, 'placement'), log);
  if (bytes === undefined || bytes.length === 0) return undefined;
  try {
    return decodePlacement(bytes);
  } catch (error) {
    log.error('saved placement not readable', { reason: messageOf(error) });
    return undefined;
  }
}

async function ownAddresses(options: AgentOptions, membership: Membership): Promise<readonly string[]> {
  if (options.addresses.length > 0) return options.addresses;
  const [pilot] = membership.pilots;
  return pilot === undefined ? ['127.0.0.1'] : [await addressTowards(parseHostPort(pilot))];
}
