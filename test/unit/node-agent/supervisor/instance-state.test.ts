import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  describeInstance,
  type InstanceEvent,
  isGone,
  newInstance,
  type Role,
  stepInstance,
} from '../../../../node-agent/supervisor/instance-state.ts';
import { defaultLimits, type ProcessEvent } from '../../../../node-agent/supervisor/process-state.ts';

function bench(app: 'supervised' | 'external' = 'supervised') {
  let machine = newInstance(app, { sidecar: defaultLimits, app: defaultLimits });
  const done: string[] = [];
  let pid = 0;
  const send = (event: InstanceEvent) => {
    const step = stepInstance(machine, event, { nowMs: 0, random: () => 0.5 });
    machine = step.machine;
    for (const { role, action } of step.actions) {
      done.push(`${role} ${action.kind === 'signal' ? action.signal : action.kind}`);
    }
  };
  const to = (role: Role, event: ProcessEvent) => send({ kind: 'process', role, event });
  return {
    done,
    send,
    to,
    spawned: (role: Role) =>
      to(role, { kind: 'spawned', ref: { pid: ++pid, startTicks: pid, bootId: 'boot' } }),
    ready: (role: Role) => to(role, { kind: 'probe', ok: true }),
    exited: (role: Role) => to(role, { kind: 'exited', reason: 'exit code 0' }),
    describe: () => describeInstance(machine),
    isGone: () => isGone(machine),
  };
}

function runningBench() {
  const b = bench();
  b.send({ kind: 'run' });
  for (const role of ['sidecar', 'app'] as const) {
    b.spawned(role);
    b.ready(role);
  }
  return b;
}

describe('instance', () => {
  it('starts the application only when its sidecar is ready', () => {
    const b = bench();
    b.send({ kind: 'run' });
    b.spawned('sidecar');
    assert.deepEqual(b.done, ['sidecar spawn']);
    assert.equal(b.describe().state, 'unready');
    b.ready('sidecar');
    assert.deepEqual(b.done, ['sidecar spawn', 'app spawn']);
    b.spawned('app');
    assert.equal(b.describe().state, 'unready');
    b.ready('app');
    assert.deepEqual(b.describe(), { state: 'ready', reason: '' });
  });

  it('leaves the application running while its sidecar is started anew', () => {
    const b = runningBench();
    b.exited('sidecar');
    assert.deepEqual(b.done.slice(2), ['sidecar sweep']);
    assert.deepEqual(b.describe(), { state: 'unready', reason: 'sidecar backoff: exit code 0' });
  });

  it('drains the sidecar before it ends the application', () => {
    const b = runningBench();
    b.send({ kind: 'stop' });
    assert.deepEqual(b.done.slice(2), ['sidecar SIGTERM']);
    assert.equal(b.describe().state, 'draining');
    b.exited('sidecar');
    assert.deepEqual(b.done.slice(3), ['sidecar sweep', 'app SIGTERM']);
    assert.equal(b.isGone(), false);
    b.exited('app');
    assert.equal(b.isGone(), true);
  });

  it('does not bring an application back that dies while its sidecar drains', () => {
    const b = runningBench();
    b.send({ kind: 'stop' });
    b.exited('app');
    b.exited('sidecar');
    assert.equal(b.isGone(), true);
    assert.deepEqual(
      b.done.filter((what) => what === 'app spawn'),
      ['app spawn'],
    );
  });

  it('starts a sidecar beside an application that was adopted alone', () => {
    const b = bench();
    b.to('app', { kind: 'adopted', ref: { pid: 7, startTicks: 7, bootId: 'boot' } });
    b.send({ kind: 'run' });
    b.spawned('sidecar');
    b.ready('sidecar');
    assert.deepEqual(b.done, ['sidecar spawn']);
    b.ready('app');
    assert.equal(b.describe().state, 'ready');
  });

  it('is ready with an application that others start once that answers', () => {
    const b = bench('external');
    b.send({ kind: 'run' });
    b.spawned('sidecar');
    b.ready('sidecar');
    assert.equal(b.describe().reason, 'application does not answer');
    b.ready('app');
    assert.equal(b.describe().state, 'ready');
    b.to('app', { kind: 'probe', ok: false });
    assert.equal(b.describe().state, 'unready');
  });
});
