/**
 * Runs one instance for real: feeds the pure machine with what happens to its processes and does what the
 * machine answers. Closing it leaves the processes alone; they are found again by their `ProcessRef`.
 */
import type { Clock, Timer } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import type { EndpointState } from '../../mesh/model.ts';
import {
  describeInstance,
  type InstanceAction,
  type InstanceEvent,
  type InstanceLimits,
  type InstanceMachine,
  isGone,
  newInstance,
  nextDeadline,
  processOf,
  type Role,
  roles,
  stepInstance,
  withLimits,
} from './instance-state.ts';
import { mark } from './marks.ts';
import { isAlive, type MarkedProcess, type ProcessTable } from './proc.ts';
import { defaultLimits, isProbed, type ProcessEvent, type ProcessRef, refOf } from './process-state.ts';
import type { Probe, RunProbe } from './readiness.ts';
import type { ProcessSpec, Spawn } from './spawn.ts';

/** What runs, and by which description it was started. */
export interface RunningProcess {
  readonly ref: ProcessRef;
  /** `PlannedProcess.hash` of its start. */
  readonly hash: string;
}

export interface PlannedProcess {
  readonly spec: ProcessSpec;
  /** Changes when the process must be started anew to obey. */
  readonly hash: string;
}

export interface ProbePlan {
  readonly probe: Probe;
  /** Between two looks while it is ready. */
  readonly intervalMs: number;
}

export interface InstancePlan {
  readonly sidecar: PlannedProcess;
  /** Undefined where somebody else starts the application; its probe tells of it all the same. */
  readonly app: PlannedProcess | undefined;
  readonly probes: Readonly<Record<Role, ProbePlan>>;
  readonly limits: InstanceLimits;
}

export interface InstanceStatus {
  readonly state: EndpointState;
  readonly reason: string;
  readonly restarts: number;
  readonly running: Readonly<Partial<Record<Role, RunningProcess>>>;
}

export interface RunnerInit {
  readonly id: string;
  /** Tells this agent's processes from those of another agent of the host. */
  readonly stateDir: string;
  readonly plan: InstancePlan;
  readonly clock: Clock;
  readonly random: Random;
  readonly table: ProcessTable;
  readonly spawn: Spawn;
  readonly probe: RunProbe;
  readonly log: Log;
  /** Runs before each start of that role, for what must hold then (its ports are free); may call `follow`. */
  readonly beforeSpawn: (role: Role) => Promise<void>;
  /** Its status is not what it was. */
  readonly onChange: () => void;
}

const nothing: PlannedProcess = {
  spec: {
    command: [],
    env: {},
    cwd: '/',
    cwdKind: 'given',
    user: undefined,
    stdoutFile: '',
    stderrFile: '',
  },
  hash: '',
};
const unprobed: ProbePlan = { probe: { kind: 'none' }, intervalMs: 1000 };

/** For what is only to be stopped. */
export const endedPlan: InstancePlan = {
  sidecar: nothing,
  app: nothing,
  probes: { sidecar: unprobed, app: unprobed },
  limits: { sidecar: defaultLimits, app: defaultLimits },
};

/** Between looks at a process that is not up yet. */
const probeStartingMs = 100;
/** Between looks whether an adopted process, which is not our child any more, still runs. */
const adoptedPeriodMs = 200;

export class InstanceRunner {
  readonly id: string;
  #init: RunnerInit;
  #plan: InstancePlan;
  #machine: InstanceMachine;
  #hashes: Partial<Record<Role, string>> = {};
  /** Running processes that are not children of this agent. */
  #adopted = new Set<Role>();
  #timer: Timer | undefined;
  #adoptedTimer: Timer | undefined;
  #probes: Partial<Record<Role, { cancel(): void }>> = {};
  #told = '';
  #life: 'open' | 'closed' = 'open';

  constructor(init: RunnerInit) {
    this.id = init.id;
    this.#init = init;
    this.#plan = init.plan;
    this.#machine = newInstance(init.plan.app === undefined ? 'external' : 'supervised', init.plan.limits);
  }

  /** Takes over a process of an earlier life of the agent; before `run` or `stop`. */
  adopt(role: Role, process: RunningProcess): void {
    this.#hashes[role] = process.hash;
    this.#watchAdopted(role);
    this.#dispatchTo(role, { kind: 'adopted', ref: process.ref });
  }

  run(): void {
    this.#dispatch({ kind: 'run' });
    this.follow(this.#plan);
  }

  /** Goes on by `plan`: what it changes is stopped and started as it says, the rest stays. */
  follow(plan: InstancePlan): void {
    this.#plan = plan;
    this.#machine = withLimits(this.#machine, plan.limits);
    for (const role of roles) {
      const hash = this.#hashes[role];
      if (hash === undefined || hash === plan[role]?.hash || plan[role] === undefined) continue;
      this.#init.log.info('process replaced', { instance: this.id, role });
      delete this.#hashes[role];
      this.#dispatchTo(role, { kind: 'replace' });
    }
  }

  /** Stops both processes and starts them as they are planned, forgetting their bad record. */
  restart(): void {
    for (const role of roles) this.#dispatchTo(role, { kind: 'replace' });
  }

  /** Drains the sidecar, then ends the application; `isGone` once both ended. */
  stop(): void {
    this.#dispatch({ kind: 'stop' });
  }

  isGone(): boolean {
    return isGone(this.#machine);
  }

  status(): InstanceStatus {
    const running: Partial<Record<Role, RunningProcess>> = {};
    let restarts = 0;
    for (const role of roles) {
      const machine = processOf(this.#machine, role);
      const ref = machine === undefined ? undefined : refOf(machine);
      if (ref !== undefined) running[role] = { ref, hash: this.#hashes[role] ?? '' };
      restarts += machine?.restarts ?? 0;
    }
    return { ...describeInstance(this.#machine), restarts, running };
  }

  /** Ends the watching, not the processes. */
  close(): void {
    this.#life = 'closed';
    this.#timer?.cancel();
    this.#adoptedTimer?.cancel();
    for (const role of roles) this.#probes[role]?.cancel();
  }

  #dispatchTo(role: Role, event: ProcessEvent): void {
    this.#dispatch({ kind: 'process', role, event });
  }

  #dispatch(event: InstanceEvent): void {
    if (this.#life === 'closed') return;
    const moment = { nowMs: this.#init.clock.nowMs(), random: this.#init.random };
    const { machine, actions } = stepInstance(this.#machine, event, moment);
    this.#machine = machine;
    for (const action of actions) this.#act(action);
    this.#armTimer();
    this.#armProbes();
    this.#tell();
  }

  #act({ role, action }: InstanceAction): void {
    switch (action.kind) {
      case 'spawn':
        void this.#spawn(role);
        return;
      case 'signal':
        for (const ref of [action.ref, ...(role === 'sidecar' ? this.#heirsOf(action.ref) : [])]) {
          if (!isAlive(this.#init.table, ref)) continue;
          this.#init.log.info('process signalled', {
            ...this.#name(role),
            signalled: ref.pid,
            signal: action.signal,
          });
          this.#init.table.kill(ref.pid, action.signal, 'group');
        }
        return;
      case 'sweep':
        this.#sweep(role, action.ref);
        return;
    }
  }

  async #spawn(role: Role): Promise<void> {
    try {
      await this.#init.beforeSpawn(role);
      const planned = this.#plan[role];
      if (planned === undefined || this.#life === 'closed') return;
      const ref = await this.#init.spawn(planned.spec, (reason) => this.#onExit(role, ref, reason));
      this.#hashes[role] = planned.hash;
      this.#adopted.delete(role);
      this.#init.log.info('process started', { ...this.#name(role), started: ref.pid });
      this.#dispatchTo(role, { kind: 'spawned', ref });
      // The plan may have changed while it was being started.
      this.follow(this.#plan);
    } catch (error) {
      this.#init.log.error('process not started', { ...this.#name(role), reason: messageOf(error) });
      this.#dispatchTo(role, { kind: 'spawn_failed', reason: messageOf(error) });
    }
  }

  #onExit(role: Role, ref: ProcessRef, reason: string): void {
    const machine = processOf(this.#machine, role);
    if (machine === undefined || refOf(machine) !== ref) return;
    const [heir] = role === 'sidecar' ? this.#heirsOf(ref) : [];
    if (heir !== undefined) {
      this.#init.log.info('process succeeded', { ...this.#name(role), ended: ref.pid, successor: heir.pid });
      this.#watchAdopted(role);
      this.#dispatchTo(role, { kind: 'succeeded', ref: heir });
      return;
    }
    this.#init.log.info('process ended', { ...this.#name(role), ended: ref.pid, reason });
    this.#adopted.delete(role);
    this.#dispatchTo(role, { kind: 'exited', reason });
  }

  /** A sidecar may start its successor itself, on its own listening sockets, in a session of its own. */
  #heirsOf(ref: ProcessRef): ProcessRef[] {
    const leaders = this.#marked('sidecar').filter((one) => one.ref.pid === one.session);
    return leaders
      .map((leader) => leader.ref)
      .filter((heir) => heir.pid !== ref.pid && heir.startTicks >= ref.startTicks);
  }

  /** Processes of this instance by their marks. */
  #marked(role: Role): MarkedProcess[] {
    return this.#init.table
      .marked(mark.instance, this.id)
      .filter(({ env }) => env[mark.role] === role && env[mark.stateDir] === this.#init.stateDir);
  }

  /** What a process leaves behind would hold its ports: its group, and children that left the group. */
  #sweep(role: Role, ref: ProcessRef): void {
    const { table, log } = this.#init;
    const strays = new Map(
      [...table.inSession(ref.pid), ...this.#marked(role)]
        .filter((stray) => stray.ref.pid !== ref.pid)
        .map((stray) => [stray.ref.pid, stray.ref]),
    );
    for (const stray of strays.values()) {
      if (!isAlive(table, stray)) continue;
      log.info('left behind process ended', { ...this.#name(role), ended: stray.pid });
      table.kill(stray.pid, 'SIGKILL', 'process');
    }
  }

  #watchAdopted(role: Role): void {
    this.#adopted.add(role);
    this.#adoptedTimer ??= this.#init.clock.every(adoptedPeriodMs, () => this.#lookAtAdopted());
  }

  #lookAtAdopted(): void {
    for (const role of this.#adopted) {
      const machine = processOf(this.#machine, role);
      const ref = machine === undefined ? undefined : refOf(machine);
      if (ref === undefined) this.#adopted.delete(role);
      else if (!isAlive(this.#init.table, ref))
        this.#onExit(role, ref, 'ended (adopted, so its exit is not known)');
    }
    if (this.#adopted.size > 0) return;
    this.#adoptedTimer?.cancel();
    this.#adoptedTimer = undefined;
  }

  #armTimer(): void {
    this.#timer?.cancel();
    const next = nextDeadline(this.#machine);
    if (next === undefined) return;
    // A millisecond late rather than early: a timer may fire a fraction before its time.
    const delayMs = Math.max(0, next.atMs - this.#init.clock.nowMs()) + 1;
    this.#timer = this.#init.clock.after(delayMs, () => this.#dispatchTo(next.role, { kind: 'timer' }));
  }

  #armProbes(): void {
    for (const role of roles) {
      const wanted = this.#isProbed(role);
      const current = this.#probes[role];
      if (wanted && current === undefined) this.#probeNow(role);
      if (wanted || current === undefined) continue;
      current.cancel();
      delete this.#probes[role];
    }
  }

  #isProbed(role: Role): boolean {
    const machine = processOf(this.#machine, role);
    return machine === undefined ? this.#machine.goal === 'run' : isProbed(machine);
  }

  #probeNow(role: Role): void {
    const { probe, intervalMs } = this.#plan.probes[role];
    // Always by a timer, so that no probe answers before it is in the table.
    const wait = (delayMs: number) => {
      this.#probes[role] = this.#init.clock.after(delayMs, () => {
        this.#probes[role] = this.#init.probe(probe, (ok) => {
          this.#dispatchTo(role, { kind: 'probe', ok });
          if (this.#probes[role] === undefined || this.#life === 'closed') return;
          wait(this.#isReady(role) ? intervalMs : Math.min(intervalMs, probeStartingMs));
        });
      });
    };
    wait(0);
  }

  #isReady(role: Role): boolean {
    const { app } = this.#machine;
    if (role === 'app' && 'external' in app) return app.external === 'up';
    return processOf(this.#machine, role)?.state.kind === 'ready';
  }

  #tell(): void {
    const status = JSON.stringify(this.status());
    if (status === this.#told) return;
    this.#told = status;
    this.#init.onChange();
  }

  #name(role: Role): { readonly instance: string; readonly role: Role } {
    return { instance: this.id, role };
  }
}
