/**
 * The life of one supervised process as a pure machine: events in, next state and actions out.
 * It neither spawns nor signals nor reads a clock; `instance-runner.ts` does what the actions say.
 *
 *   stopped ──start──▶ spawning ──spawned──▶ starting ──probe ok──▶ ready ⇄ unready
 *      ▲                  ▲  ▲                   │ exited             │ exited
 *      │                  │  └──── timer ── backoff / crashloop ◀─────┘
 *      └── exited ── stopping ──timer──▶ killing
 */
import type { Random } from '../../kit/random.ts';

/** A process of this host that cannot be mistaken for another: process ids are used again, this triple is not. */
export interface ProcessRef {
  readonly pid: number;
  /** Field 22 of `/proc/PID/stat`: clock ticks from boot to its start. */
  readonly startTicks: number;
  readonly bootId: string;
}

/** What follows the end of a process that is being stopped. */
export type Afterwards = 'stop' | 'spawn' | 'backoff';

export type ProcessState =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'spawning'; readonly next: 'run' | Afterwards }
  | { readonly kind: 'starting'; readonly ref: ProcessRef; readonly sinceMs: number }
  | { readonly kind: 'ready'; readonly ref: ProcessRef; readonly sinceMs: number; readonly misses: number }
  | { readonly kind: 'unready'; readonly ref: ProcessRef; readonly sinceMs: number }
  | {
      readonly kind: 'stopping';
      readonly ref: ProcessRef;
      readonly killAtMs: number;
      readonly next: Afterwards;
    }
  | { readonly kind: 'killing'; readonly ref: ProcessRef; readonly next: Afterwards }
  | { readonly kind: 'backoff'; readonly untilMs: number }
  | { readonly kind: 'crashloop'; readonly untilMs: number };

export interface ProcessMachine {
  readonly state: ProcessState;
  /** Doublings of the delay since the last time it was healthy for long. */
  readonly step: number;
  /** When it was started lately; at most `loopStarts` of them. */
  readonly startsMs: readonly number[];
  /** `looping` from the moment it crashed too often until it was healthy for `healthyMs`. */
  readonly record: 'calm' | 'looping';
  /** How often it was started again after it ended by itself. */
  readonly restarts: number;
  /** How the last run ended; empty before the first end. */
  readonly lastEnd: string;
  readonly limits: ProcessLimits;
}

export interface ProcessLimits {
  /** The first delay before it is started again; it doubles with each crash, up to `backoffMaxMs`. */
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  /** Between the starts of a crash loop. */
  readonly loopDelayMs: number;
  /** After so long without a fall its record is clean. */
  readonly healthyMs: number;
  /** From its start to its first successful probe. */
  readonly startTimeoutMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly stopTimeoutMs: number;
  /** So many failed probes in a row make it unready. */
  readonly probeMisses: number;
}

export type ProcessEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  /** What it runs changed: stop it, start it as it is now, and forget its bad record. */
  | { readonly kind: 'replace' }
  | { readonly kind: 'spawned'; readonly ref: ProcessRef }
  | { readonly kind: 'spawn_failed'; readonly reason: string }
  /** Found running from an earlier life of the agent. */
  | { readonly kind: 'adopted'; readonly ref: ProcessRef }
  /** It ended after it had handed over to a successor of its own, which goes on in its place. */
  | { readonly kind: 'succeeded'; readonly ref: ProcessRef }
  | { readonly kind: 'exited'; readonly reason: string }
  | { readonly kind: 'probe'; readonly ok: boolean }
  | { readonly kind: 'timer' };

export type ProcessAction =
  | { readonly kind: 'spawn' }
  /** To its whole process group. */
  | { readonly kind: 'signal'; readonly ref: ProcessRef; readonly signal: 'SIGTERM' | 'SIGKILL' }
  /** End what the ended process left behind: its group, and what escaped from it. */
  | { readonly kind: 'sweep'; readonly ref: ProcessRef };

export interface ProcessStep {
  readonly machine: ProcessMachine;
  readonly actions: readonly ProcessAction[];
}

/** Time and chance at the moment of the event. */
export interface Moment {
  readonly nowMs: number;
  readonly random: Random;
}

export const defaultLimits: ProcessLimits = {
  backoffBaseMs: 100,
  backoffMaxMs: 30_000,
  // With the five starts before the loop is noticed, at most 12 starts in five minutes.
  loopDelayMs: 50_000,
  healthyMs: 60_000,
  startTimeoutMs: 90_000,
  stopTimeoutMs: 10_000,
  probeMisses: 3,
};
/** ± this share of every delay, so that what died together does not start together. */
const backoffJitter = 0.1;
/** This many starts within `loopWindowMs` are a crash loop. */
const loopStarts = 5;
const loopWindowMs = 10_000;

export function newProcess(limits: ProcessLimits = defaultLimits): ProcessMachine {
  return {
    state: { kind: 'stopped' },
    step: 0,
    startsMs: [],
    record: 'calm',
    restarts: 0,
    lastEnd: '',
    limits,
  };
}

/** The next state and what to do for it; an event that means nothing in a state changes nothing. */
export function stepProcess(machine: ProcessMachine, event: ProcessEvent, moment: Moment): ProcessStep {
  switch (event.kind) {
    case 'start':
      return onStart(machine, moment);
    case 'stop':
      return onStop(machine, 'stop', moment);
    case 'replace':
      return onReplace(machine, moment);
    case 'spawned':
      return onSpawned(machine, event.ref, moment);
    case 'spawn_failed':
      return machine.state.kind === 'spawning' ? onEnd(machine, event.reason, moment) : same(machine);
    case 'adopted':
      return to(machine, { kind: 'starting', ref: event.ref, sinceMs: moment.nowMs });
    case 'succeeded':
      return 'ref' in machine.state ? to(machine, { ...machine.state, ref: event.ref }) : same(machine);
    case 'exited':
      return onExited(machine, event.reason, moment);
    case 'probe':
      return onProbe(machine, event.ok, moment);
    case 'timer':
      return onTimer(machine, moment);
  }
}

/** When the machine wants a `timer` event, on the clock of `nowMs`; undefined is never. */
export function deadlineOf(machine: ProcessMachine): number | undefined {
  const { state, limits } = machine;
  switch (state.kind) {
    case 'starting':
      return state.sinceMs + limits.startTimeoutMs;
    case 'ready':
      return machine.startsMs.length > 0 ? state.sinceMs + limits.healthyMs : undefined;
    case 'stopping':
      return state.killAtMs;
    case 'backoff':
    case 'crashloop':
      return state.untilMs;
    case 'stopped':
    case 'spawning':
    case 'unready':
    case 'killing':
      return undefined;
  }
}

/** The process that runs, if any does. */
export function refOf(machine: ProcessMachine): ProcessRef | undefined {
  return 'ref' in machine.state ? machine.state.ref : undefined;
}

/** Whether its readiness is to be probed now. */
export function isProbed(machine: ProcessMachine): boolean {
  const { kind } = machine.state;
  return kind === 'starting' || kind === 'ready' || kind === 'unready';
}

function onStart(machine: ProcessMachine, moment: Moment): ProcessStep {
  const { state } = machine;
  switch (state.kind) {
    case 'stopped':
      return spawn(machine, moment);
    case 'spawning':
      return state.next === 'run' ? same(machine) : to(machine, { ...state, next: 'spawn' });
    case 'stopping':
    case 'killing':
      return state.next === 'stop' ? to(machine, { ...state, next: 'spawn' }) : same(machine);
    default:
      return same(machine);
  }
}

function onStop(machine: ProcessMachine, next: Afterwards, moment: Moment): ProcessStep {
  const { state } = machine;
  switch (state.kind) {
    case 'stopped':
      return same(machine);
    case 'backoff':
    case 'crashloop':
      return to(machine, { kind: 'stopped' });
    case 'spawning':
      return to(machine, { kind: 'spawning', next });
    case 'stopping':
    case 'killing':
      return to(machine, { ...state, next });
    case 'starting':
    case 'ready':
    case 'unready':
      return terminate(machine, state.ref, next, moment);
  }
}

function onReplace(machine: ProcessMachine, moment: Moment): ProcessStep {
  const clean: ProcessMachine = { ...machine, step: 0, startsMs: [], record: 'calm' };
  const { kind } = machine.state;
  if (kind === 'stopped') return same(clean);
  if (kind === 'backoff' || kind === 'crashloop') return spawn(clean, moment);
  if ('next' in machine.state && machine.state.next === 'stop') return same(clean);
  return onStop(clean, 'spawn', moment);
}

function onSpawned(machine: ProcessMachine, ref: ProcessRef, moment: Moment): ProcessStep {
  const { state } = machine;
  if (state.kind !== 'spawning') {
    // Nobody waits for it any more: it must not run beside another.
    return { machine, actions: [{ kind: 'signal', ref, signal: 'SIGKILL' }] };
  }
  if (state.next !== 'run') return terminate(machine, ref, state.next, moment);
  return to(machine, { kind: 'starting', ref, sinceMs: moment.nowMs });
}

function onExited(machine: ProcessMachine, reason: string, moment: Moment): ProcessStep {
  const ref = refOf(machine);
  if (ref === undefined) return same(machine);
  const next = onEnd(machine, reason, moment);
  return { machine: next.machine, actions: [{ kind: 'sweep', ref }, ...next.actions] };
}

/** The process is gone, or never came to be. */
function onEnd(machine: ProcessMachine, reason: string, moment: Moment): ProcessStep {
  const { state } = machine;
  const next = 'next' in state ? state.next : 'backoff';
  // What we ended for being late says so, not that our own signal ended it.
  const ended = next === 'backoff' && 'next' in state ? machine : { ...machine, lastEnd: reason };
  if (next === 'stop') return to(ended, { kind: 'stopped' });
  if (next === 'spawn') return spawn(ended, moment);
  return backOff(ended, moment);
}

function onProbe(machine: ProcessMachine, ok: boolean, moment: Moment): ProcessStep {
  const { state } = machine;
  switch (state.kind) {
    case 'starting':
    case 'unready':
      return ok
        ? to(machine, { kind: 'ready', ref: state.ref, sinceMs: moment.nowMs, misses: 0 })
        : same(machine);
    case 'ready':
      if (ok) return state.misses === 0 ? same(machine) : to(machine, { ...state, misses: 0 });
      return state.misses + 1 < machine.limits.probeMisses
        ? to(machine, { ...state, misses: state.misses + 1 })
        : to(machine, { kind: 'unready', ref: state.ref, sinceMs: moment.nowMs });
    default:
      return same(machine);
  }
}

function onTimer(machine: ProcessMachine, moment: Moment): ProcessStep {
  const { state } = machine;
  const deadline = deadlineOf(machine);
  if (deadline === undefined || moment.nowMs < deadline) return same(machine);
  switch (state.kind) {
    case 'backoff':
    case 'crashloop':
      return spawn({ ...machine, restarts: machine.restarts + 1 }, moment);
    case 'starting':
      return terminate(
        { ...machine, lastEnd: `not ready in ${machine.limits.startTimeoutMs} ms` },
        state.ref,
        'backoff',
        moment,
      );
    case 'ready':
      return same({ ...machine, step: 0, startsMs: [], record: 'calm' });
    case 'stopping':
      return {
        machine: { ...machine, state: { kind: 'killing', ref: state.ref, next: state.next } },
        actions: [{ kind: 'signal', ref: state.ref, signal: 'SIGKILL' }],
      };
    default:
      return same(machine);
  }
}

function spawn(machine: ProcessMachine, moment: Moment): ProcessStep {
  const startsMs = [...machine.startsMs, moment.nowMs].slice(-loopStarts);
  return {
    machine: { ...machine, startsMs, state: { kind: 'spawning', next: 'run' } },
    actions: [{ kind: 'spawn' }],
  };
}

function terminate(machine: ProcessMachine, ref: ProcessRef, next: Afterwards, moment: Moment): ProcessStep {
  return {
    machine: {
      ...machine,
      state: { kind: 'stopping', ref, killAtMs: moment.nowMs + machine.limits.stopTimeoutMs, next },
    },
    actions: [{ kind: 'signal', ref, signal: 'SIGTERM' }],
  };
}

function backOff(machine: ProcessMachine, moment: Moment): ProcessStep {
  const [first] = machine.startsMs;
  const full = machine.startsMs.length === loopStarts;
  const loops = full && first !== undefined && moment.nowMs - first <= loopWindowMs;
  const jitter = 1 + backoffJitter * (2 * moment.random() - 1);
  if (loops || machine.record === 'looping') {
    const untilMs = moment.nowMs + machine.limits.loopDelayMs * jitter;
    return to({ ...machine, record: 'looping' }, { kind: 'crashloop', untilMs });
  }
  const { backoffBaseMs, backoffMaxMs } = machine.limits;
  const delayMs = Math.min(backoffBaseMs * 2 ** machine.step, backoffMaxMs) * jitter;
  return to({ ...machine, step: machine.step + 1 }, { kind: 'backoff', untilMs: moment.nowMs + delayMs });
}

function to(machine: ProcessMachine, state: ProcessState): ProcessStep {
  return { machine: { ...machine, state }, actions: [] };
}

function same(machine: ProcessMachine): ProcessStep {
  return { machine, actions: [] };
}
