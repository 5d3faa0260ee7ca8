/**
 * One instance as a pure machine: a sidecar, and the application behind it. The sidecar is first up, for the
 * application may call at once; when stopping it drains first, and the application ends after it.
 */
import type { EndpointState } from '../../mesh/model.ts';
import {
  deadlineOf,
  type Moment,
  newProcess,
  type ProcessAction,
  type ProcessEvent,
  type ProcessLimits,
  type ProcessMachine,
  refOf,
  stepProcess,
} from './process-state.ts';

export type Role = 'sidecar' | 'app';
export const roles: readonly Role[] = ['sidecar', 'app'];

/** `external`: somebody else starts the application; the agent only looks whether it answers. */
export type AppMachine = ProcessMachine | { readonly external: 'unseen' | 'up' | 'down' };

export interface InstanceMachine {
  readonly goal: 'run' | 'stop';
  readonly sidecar: ProcessMachine;
  readonly app: AppMachine;
}

export type InstanceEvent =
  | { readonly kind: 'run' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'process'; readonly role: Role; readonly event: ProcessEvent };

export interface InstanceAction {
  readonly role: Role;
  readonly action: ProcessAction;
}

export interface InstanceStep {
  readonly machine: InstanceMachine;
  readonly actions: readonly InstanceAction[];
}

export interface InstanceLimits {
  readonly sidecar: ProcessLimits;
  readonly app: ProcessLimits;
}

export function newInstance(app: 'supervised' | 'external', limits: InstanceLimits): InstanceMachine {
  return {
    goal: 'stop',
    sidecar: newProcess(limits.sidecar),
    app: app === 'external' ? { external: 'unseen' } : newProcess(limits.app),
  };
}

/** The same instance under other limits from now on. */
export function withLimits(machine: InstanceMachine, limits: InstanceLimits): InstanceMachine {
  return {
    ...machine,
    sidecar: { ...machine.sidecar, limits: limits.sidecar },
    app: 'external' in machine.app ? machine.app : { ...machine.app, limits: limits.app },
  };
}

/** The next state and what to do for it. */
export function stepInstance(machine: InstanceMachine, event: InstanceEvent, moment: Moment): InstanceStep {
  if (event.kind === 'process') {
    const step = stepRole({ machine, actions: [] }, event.role, event.event, moment);
    // What was found running waits for the word whether it is to run or to stop.
    return event.event.kind === 'adopted' ? step : couple(step, moment);
  }
  return couple({ machine: { ...machine, goal: event.kind }, actions: [] }, moment);
}

/** When the machine wants its processes' timers looked at, and whose. */
export function nextDeadline(machine: InstanceMachine): { role: Role; atMs: number } | undefined {
  let next: { role: Role; atMs: number } | undefined;
  for (const role of roles) {
    const process = processOf(machine, role);
    const atMs = process === undefined ? undefined : deadlineOf(process);
    if (atMs !== undefined && (next === undefined || atMs < next.atMs)) next = { role, atMs };
  }
  return next;
}

/** The process of that role, or undefined where the application is external. */
export function processOf(machine: InstanceMachine, role: Role): ProcessMachine | undefined {
  if (role === 'sidecar') return machine.sidecar;
  return 'external' in machine.app ? undefined : machine.app;
}

/** Whether nothing of it runs and nothing is meant to. */
export function isGone(machine: InstanceMachine): boolean {
  return (
    machine.goal === 'stop' &&
    roles.every((role) => (processOf(machine, role)?.state.kind ?? 'stopped') === 'stopped')
  );
}

/** What its endpoints count as, and why when they are not ready. */
export function describeInstance(machine: InstanceMachine): {
  readonly state: EndpointState;
  readonly reason: string;
} {
  if (machine.goal === 'stop') return { state: 'draining', reason: 'stopping' };
  const sidecar = describeProcess(machine.sidecar);
  const app =
    'external' in machine.app ? describeExternal(machine.app.external) : describeProcess(machine.app);
  if (app !== '')
    return { state: 'unready', reason: sidecar !== '' && app === 'stopped' ? `sidecar ${sidecar}` : app };
  return sidecar === '' ? { state: 'ready', reason: '' } : { state: 'unready', reason: `sidecar ${sidecar}` };
}

function describeProcess(machine: ProcessMachine): string {
  const { kind } = machine.state;
  if (kind === 'ready') return '';
  if (machine.record === 'looping') return `crashloop: ${machine.lastEnd}`;
  return kind === 'backoff' ? `backoff: ${machine.lastEnd}` : kind;
}

function describeExternal(seen: 'unseen' | 'up' | 'down'): string {
  return seen === 'up' ? '' : 'application does not answer';
}

function stepRole(step: InstanceStep, role: Role, event: ProcessEvent, moment: Moment): InstanceStep {
  const { machine } = step;
  const process = processOf(machine, role);
  if (process === undefined) {
    if (event.kind !== 'probe') return step;
    return { ...step, machine: { ...machine, app: { external: event.ok ? 'up' : 'down' } } };
  }
  const next = stepProcess(process, event, moment);
  return {
    machine: { ...machine, [role]: next.machine },
    actions: [...step.actions, ...next.actions.map((action) => ({ role, action }))],
  };
}

/** What one process' state asks of the other. */
function couple(step: InstanceStep, moment: Moment): InstanceStep {
  const { goal, sidecar } = step.machine;
  if (goal === 'stop') {
    const app = processOf(step.machine, 'app');
    const sidecarGone = sidecar.state.kind === 'stopped';
    const drained = stepRole(step, 'sidecar', { kind: 'stop' }, moment);
    // An application that does not run now must not come back while its sidecar drains.
    const appEnds = app !== undefined && (sidecarGone || refOf(app) === undefined);
    return appEnds ? stepRole(drained, 'app', { kind: 'stop' }, moment) : drained;
  }
  const running = stepRole(step, 'sidecar', { kind: 'start' }, moment);
  const app = processOf(step.machine, 'app');
  // Once started the application stays, whatever becomes of the sidecar: its connections are its own.
  const due = sidecar.state.kind === 'ready' && app !== undefined && needsStart(app);
  return due ? stepRole(running, 'app', { kind: 'start' }, moment) : running;
}

function needsStart(app: ProcessMachine): boolean {
  const { state } = app;
  return state.kind === 'stopped' || ('next' in state && state.next === 'stop');
}
