/**
 * Keeps what runs on this node equal to what is placed on it: an `InstanceRunner` for each instance, their ports,
 * their logs, and notes on disk by which a later life of the agent finds all of it again.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import type { Bootstrap } from '../../mesh/bootstrap.ts';
import type { InstanceReport, PlacedWorkload, Placement } from '../../mesh/placement.ts';
import {
  instanceFiles,
  type NodeSettings,
  type PlannedInstance,
  planInstance,
  portRequests,
  portsOf,
  sidecarUserOf,
} from '../plan/instance-plan.ts';
import { endedPlan, InstanceRunner, type InstanceStatus } from './instance-runner.ts';
import { type Role, roles } from './instance-state.ts';
import { createLogFor, rotateIfLarge, rotationPeriodMs } from './log-files.ts';
import { createNotes, type FoundInstance, type Notes } from './notes.ts';
import { type IsPortFree, PortTable } from './ports.ts';
import type { ProcessTable } from './proc.ts';
import type { RunProbe } from './readiness.ts';
import { instancesOf, type PlacedIndex, Refusals, refusedRetryMs } from './refusals.ts';
import type { Spawn } from './spawn.ts';
import { resolveUser } from './user.ts';

export interface SupervisorInit {
  readonly settings: NodeSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly table: ProcessTable;
  readonly spawn: Spawn;
  readonly probe: RunProbe;
  readonly isPortFree: IsPortFree;
  readonly log: Log;
  /** Before the first start of an instance and whenever its bootstrap changed: its socket must be served. */
  readonly onPlanned: (instance: SupervisedInstance) => Promise<void>;
  /** It stopped and is not to come back. */
  readonly onGone: (id: string) => void;
  /** An instance's report changed. */
  readonly onReport: (report: InstanceReport) => void;
}

export interface SupervisedInstance {
  readonly id: string;
  readonly workload: PlacedWorkload;
  readonly index: number;
  readonly bootstrap: Bootstrap;
}

export interface PlacedInstance {
  readonly id: string;
  readonly workload: PlacedWorkload;
  readonly bootstrap: Bootstrap;
  readonly report: InstanceReport;
  readonly running: InstanceStatus['running'];
}

interface Entry {
  readonly runner: InstanceRunner;
  /** Undefined for what runs but is not placed here any more. */
  planned: (PlannedInstance & { readonly workload: PlacedWorkload; readonly index: number }) | undefined;
}

/** Ports of a process that just ended may take a moment to be free. */
const portPatienceMs = 200;
const portTries = 5;
/** Between looks whether everything has stopped. */
const gonePeriodMs = 50;

export class Supervisor {
  readonly #init: SupervisorInit;
  readonly #ports: PortTable;
  readonly #notes: Notes;
  readonly #entries = new Map<string, Entry>();
  /** Found running at the start, and not yet in a placement. */
  readonly #found: Map<string, FoundInstance>;
  readonly #refused: Refusals;
  readonly #rotation: Timer;
  readonly #retries: Timer;
  #placement: Placement | undefined;
  #applied: Promise<unknown> = Promise.resolve();
  /** `stopping`: placements are not followed any more. */
  #life: 'running' | 'stopping' = 'running';

  constructor(init: SupervisorInit) {
    this.#init = init;
    this.#ports = new PortTable(init.isPortFree, init.random);
    this.#notes = createNotes(init);
    this.#found = this.#notes.found();
    for (const [id, { ports }] of this.#found) this.#ports.restore(id, ports);
    this.#refused = new Refusals(init.log);
    this.#rotation = init.clock.every(rotationPeriodMs, () => this.#rotateLogs());
    this.#retries = init.clock.every(refusedRetryMs, () => void this.#inTurn(() => this.#retryRefused()));
  }

  /**
   * Follows `placement`: what is new in it starts, what changed starts anew, what it lacks drains and stops. Once
   * everything is to stop, a placement changes nothing.
   */
  apply(placement: Placement): Promise<void> {
    return this.#inTurn(() => this.#follow(placement));
  }

  reports(): InstanceReport[] {
    return [
      ...[...this.#entries.values()].flatMap((entry) => this.#reportOf(entry) ?? []),
      ...this.refused(),
    ];
  }

  /** What is placed here and could not even be planned, such as for a user that this node does not have. */
  refused(): InstanceReport[] {
    return this.#refused.ids().flatMap((id) => {
      const entry = this.#entries.get(id);
      return entry?.planned === undefined ? (this.#refused.report(id) ?? []) : [];
    });
  }

  /** Ids of everything that is placed or still runs. */
  ids(): string[] {
    return [...this.#entries.keys(), ...this.#found.keys(), ...this.#refused.ids()];
  }

  /** What is placed here, with its report and its processes. */
  placed(): PlacedInstance[] {
    return [...this.#entries.values()].flatMap((entry) => {
      const report = this.#reportOf(entry);
      if (report === undefined || entry.planned === undefined) return [];
      const { running } = entry.runner.status();
      const { workload, bootstrap } = entry.planned;
      return { id: report.id, workload, bootstrap, report, running };
    });
  }

  /** Starts an instance anew; answers whether there is one of that id. */
  restart(id: string): boolean {
    const entry = this.#entries.get(id);
    entry?.runner.restart();
    return entry !== undefined;
  }

  /** Drains and stops everything; resolves when nothing of it runs. */
  async stopAll(): Promise<void> {
    this.#life = 'stopping';
    await this.#applied;
    for (const id of this.#found.keys()) this.#retireFound(id);
    for (const { runner } of this.#entries.values()) runner.stop();
    for (const id of this.#refused.ids()) this.#forgetRefused(id);
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if ([...this.#entries.values()].some(({ runner }) => !runner.isGone())) return;
        timer.cancel();
        resolve();
      };
      const timer = this.#init.clock.every(gonePeriodMs, look);
      look();
    });
  }

  /** Stops watching; what runs goes on. */
  close(): void {
    this.#rotation.cancel();
    this.#retries.cancel();
    for (const { runner } of this.#entries.values()) runner.close();
    this.#note();
    this.#notes.close();
  }

  async #follow(placement: Placement): Promise<void> {
    // The pilot may well send one while sidecars drain: what it names must not be started again.
    if (this.#life === 'stopping') return;
    this.#placement = placement;
    const wanted = new Set<string>();
    for (const one of instancesOf(placement, this.#init.settings.node)) {
      wanted.add(one.id);
      await this.#placeOrRefuse(one);
    }
    for (const id of this.#found.keys()) if (!wanted.has(id)) this.#retireFound(id);
    for (const [id, { runner }] of this.#entries) if (!wanted.has(id)) this.#retire(id, runner);
    for (const id of this.#refused.ids()) if (!wanted.has(id)) this.#forgetRefused(id);
  }

  async #retryRefused(): Promise<void> {
    if (this.#life === 'stopping' || this.#placement === undefined) return;
    const refused = new Set(this.#refused.ids());
    if (refused.size === 0) return;
    for (const one of instancesOf(this.#placement, this.#init.settings.node)) {
      if (refused.has(one.id)) await this.#placeOrRefuse(one);
    }
  }

  /** What runs of a refused one goes on as it was. */
  async #placeOrRefuse(one: PlacedIndex): Promise<void> {
    try {
      await this.#place(one);
      // Where it already runs as it is asked to now, nothing else would take the reason back.
      if (this.#refused.remove(one.id)) this.#report(one.id);
    } catch (error) {
      await this.#takeUp(one);
      if (this.#refused.add(one, error)) this.#report(one.id);
    }
  }

  /** What an earlier life of the agent ran of a refused one goes on by what it was planned by then. */
  async #takeUp(one: PlacedIndex): Promise<void> {
    const workload = this.#found.get(one.id)?.workload;
    if (workload === undefined) return;
    try {
      await this.#place({ ...one, workload });
    } catch {
      // That cannot be planned any more either; the refusal at hand is what counts.
    }
  }

  #forgetRefused(id: string): void {
    this.#refused.remove(id);
    if (this.#entries.has(id)) return;
    this.#ports.release(id);
    this.#init.onGone(id);
  }

  async #place({ id, workload, index }: PlacedIndex): Promise<void> {
    const planned = await this.#plan(id, workload, index);
    const existing = this.#entries.get(id);
    if (existing !== undefined) {
      existing.planned = planned;
      existing.runner.run();
      existing.runner.follow(planned.processes);
    } else {
      const runner = this.#createRunner(id, planned);
      this.#entries.set(id, { runner, planned });
      this.#adoptFound(id, runner);
      runner.run();
    }
    this.#note();
  }

  async #plan(
    id: string,
    workload: PlacedWorkload,
    index: number,
  ): Promise<PlannedInstance & { workload: PlacedWorkload; index: number }> {
    const { settings } = this.#init;
    const { logFolder, accessLog } = instanceFiles(settings.stateDir, id);
    // What may fail comes first: until all of it has succeeded, what runs keeps its ports.
    mkdirSync(logFolder, { recursive: true, mode: 0o700 });
    if (workload.user !== undefined) resolveUser(workload.user);
    const user = sidecarUserOf(workload, settings);
    const owner = user === undefined ? undefined : resolveUser(user);
    if (owner !== undefined) createLogFor(owner, accessLog);
    await this.#ports.allocate(id, portRequests(workload, settings));
    const planned = planInstance(workload, index, this.#ports.of(id), settings);
    await this.#init.onPlanned({ id, workload, index, bootstrap: planned.bootstrap });
    return { ...planned, workload, index };
  }

  #createRunner(id: string, planned: PlannedInstance | undefined): InstanceRunner {
    const { settings, clock, random, table, spawn, probe, log } = this.#init;
    return new InstanceRunner({
      id,
      stateDir: settings.stateDir,
      plan: planned?.processes ?? endedPlan,
      clock,
      random,
      table,
      spawn,
      probe,
      log,
      beforeSpawn: (role) => this.#beforeSpawn(id, role),
      onChange: () => this.#onChange(id),
    });
  }

  /** Ports that a stranger took while the process was down are replaced, and everything that names them. */
  async #beforeSpawn(id: string, role: Role): Promise<void> {
    const purposes = portsOf(role, this.#ports.of(id));
    for (let tries = 1; ; tries++) {
      const taken = await this.#ports.anyTaken(id, purposes);
      if (!taken) return;
      if (tries === portTries) break;
      await new Promise<void>((resolve) => this.#init.clock.after(portPatienceMs, resolve));
    }
    const entry = this.#entries.get(id);
    if (entry?.planned === undefined || !(await this.#ports.replaceTaken(id, purposes))) return;
    this.#init.log.warn('ports taken by another program, others allocated', { instance: id, role });
    entry.planned = await this.#plan(id, entry.planned.workload, entry.planned.index);
    entry.runner.follow(entry.planned.processes);
  }

  #adoptFound(id: string, runner: InstanceRunner): void {
    const found = this.#found.get(id);
    this.#found.delete(id);
    for (const role of roles) {
      const running = found?.running[role];
      if (running === undefined) continue;
      this.#init.log.info('process adopted', { instance: id, role, adopted: running.ref.pid });
      runner.adopt(role, running);
    }
  }

  #retireFound(id: string): void {
    const runner = this.#createRunner(id, undefined);
    this.#entries.set(id, { runner, planned: undefined });
    this.#adoptFound(id, runner);
    this.#retire(id, runner);
  }

  #retire(id: string, runner: InstanceRunner): void {
    runner.stop();
    // With nothing running it is gone at once, and no change will say so.
    this.#dropIfGone(id);
  }

  #onChange(id: string): void {
    this.#note();
    this.#report(id);
    this.#dropIfGone(id);
  }

  #dropIfGone(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || !entry.runner.isGone()) return;
    entry.runner.close();
    this.#entries.delete(id);
    this.#ports.release(id);
    this.#note();
    this.#init.onGone(id);
    this.#report(id);
  }

  /** Tells what stands of that instance now; nothing where it is no more. */
  #report(id: string): void {
    const entry = this.#entries.get(id);
    const running = entry === undefined ? undefined : this.#reportOf(entry);
    const report = running ?? this.#refused.report(id);
    if (report !== undefined) this.#init.onReport(report);
  }

  #note(): void {
    this.#notes.keep(() => {
      const now: Record<string, FoundInstance> = Object.fromEntries(this.#found);
      for (const [id, { runner, planned }] of this.#entries) {
        const { running } = runner.status();
        now[id] = { ports: this.#ports.of(id), running, workload: planned?.workload };
      }
      return now;
    });
  }

  #reportOf({ runner, planned }: Entry): InstanceReport | undefined {
    if (planned === undefined) return undefined;
    const { workload, index, bootstrap } = planned;
    const { state, reason, restarts } = runner.status();
    return this.#refused.explain({
      id: runner.id,
      namespace: workload.namespace,
      workload: workload.workload,
      index,
      state,
      reason,
      addresses: this.#init.settings.addresses,
      linkPort: bootstrap.link?.port ?? 0,
      ports: bootstrap.apps.map(({ port, plain }) => ({ port, plainPort: plain?.port })),
      features: [],
      restarts,
    });
  }

  /** One piece of work on placements after the other. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#applied.then(work);
    this.#applied = result.catch(() => {});
    return result;
  }

  #rotateLogs(): void {
    const { settings, log } = this.#init;
    for (const id of this.#entries.keys()) {
      const { logFolder } = instanceFiles(settings.stateDir, id);
      for (const name of logNames) {
        const path = join(logFolder, name);
        try {
          const dropped = rotateIfLarge(path);
          if (dropped > 0) log.warn('log flood cut', { path, droppedBytes: dropped });
        } catch (error) {
          log.error('log not rotated', { path, reason: messageOf(error) });
        }
      }
    }
  }
}

const logNames = ['app.out.log', 'app.err.log', 'sidecar.out.log', 'sidecar.err.log', 'access.log'];
