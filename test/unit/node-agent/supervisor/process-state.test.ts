import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  deadlineOf,
  defaultLimits,
  newProcess,
  type ProcessAction,
  type ProcessEvent,
  type ProcessMachine,
  type ProcessRef,
  refOf,
  stepProcess,
} from '../../../../node-agent/supervisor/process-state.ts';

/** Drives one machine by hand; jitter is exactly in the middle. */
class Bench {
  machine: ProcessMachine = newProcess();
  nowMs = 0;
  actions: ProcessAction[] = [];
  #pids = 0;

  send(event: ProcessEvent): readonly ProcessAction[] {
    const step = stepProcess(this.machine, event, { nowMs: this.nowMs, random: () => 0.5 });
    this.machine = step.machine;
    this.actions.push(...step.actions);
    return step.actions;
  }
  get kind(): string {
    return this.machine.state.kind;
  }
  spawned(): ProcessRef {
    const ref = { pid: ++this.#pids, startTicks: this.#pids, bootId: 'boot' };
    this.send({ kind: 'spawned', ref });
    return ref;
  }
  started(): ProcessRef {
    this.send({ kind: 'start' });
    return this.spawned();
  }
  toDeadline(): void {
    this.nowMs = deadlineOf(this.machine) ?? this.nowMs;
    this.send({ kind: 'timer' });
  }
  count(kind: ProcessAction['kind']): number {
    return this.actions.filter((action) => action.kind === kind).length;
  }
}

/** A host on which spawned processes come up, and running ones end, when it is told so. */
class Host {
  readonly bench = new Bench();
  due = 0;
  running = 0;

  obey(command: ProcessEvent | 'spawn' | 'exit' | number): void {
    if (typeof command === 'number') this.bench.nowMs += command;
    else if (command === 'spawn') this.#comeUp();
    else if (command === 'exit') this.#end();
    else this.#send(command);
  }
  #comeUp(): void {
    if (this.due === 0) return;
    this.bench.spawned();
    this.due--;
    this.running++;
  }
  #end(): void {
    if (this.running === 0) return;
    this.#send(exited);
    this.running--;
  }
  #send(event: ProcessEvent): void {
    this.due += this.bench.send(event).filter(({ kind }) => kind === 'spawn').length;
  }
}

const exited: ProcessEvent = { kind: 'exited', reason: 'exit code 1' };

describe('supervised process', () => {
  it('spawns once, however often it is told to start', () => {
    const bench = new Bench();
    bench.send({ kind: 'start' });
    bench.send({ kind: 'start' });
    bench.spawned();
    bench.send({ kind: 'start' });
    assert.equal(bench.count('spawn'), 1);
    assert.equal(bench.kind, 'starting');
  });

  it('is back a tenth of a second after it died', () => {
    const bench = new Bench();
    const ref = bench.started();
    bench.send({ kind: 'probe', ok: true });
    assert.deepEqual(bench.send(exited), [{ kind: 'sweep', ref }]);
    assert.equal(deadlineOf(bench.machine), bench.nowMs + 100);
    bench.toDeadline();
    assert.equal(bench.kind, 'spawning');
    assert.equal(bench.machine.restarts, 1);
  });

  it('waits longer after each crash, and becomes a crash loop after five starts in ten seconds', () => {
    const bench = new Bench();
    bench.started();
    const delays: number[] = [];
    for (let crash = 0; crash < 5; crash++) {
      bench.send(exited);
      delays.push((deadlineOf(bench.machine) ?? 0) - bench.nowMs);
      bench.toDeadline();
      bench.spawned();
    }
    assert.deepEqual(delays.slice(0, 4), [100, 200, 400, 800]);
    assert.equal(bench.machine.record, 'looping');
  });

  it('starts a service that always exits at once at most twelve times in five minutes', () => {
    const bench = new Bench();
    bench.started();
    while (bench.nowMs < 300_000) {
      bench.send(exited);
      bench.toDeadline();
      if (bench.nowMs < 300_000) bench.spawned();
    }
    assert.ok(bench.count('spawn') <= 13, `${bench.count('spawn')} starts, the last after the five minutes`);
  });

  it('never waits longer than thirty seconds outside a crash loop', () => {
    const bench = new Bench();
    bench.started();
    for (let crash = 0; crash < 15; crash++) {
      bench.nowMs += 11_000;
      bench.send(exited);
      assert.ok((deadlineOf(bench.machine) ?? 0) - bench.nowMs <= defaultLimits.backoffMaxMs);
      bench.toDeadline();
      bench.spawned();
    }
    assert.equal(bench.machine.record, 'calm');
  });

  it('forgets its crashes once it was healthy for a minute', () => {
    const bench = new Bench();
    bench.started();
    for (let crash = 0; crash < 6; crash++) {
      bench.send(exited);
      bench.toDeadline();
      bench.spawned();
    }
    bench.send({ kind: 'probe', ok: true });
    assert.equal(deadlineOf(bench.machine), bench.nowMs + defaultLimits.healthyMs);
    bench.toDeadline();
    assert.equal(bench.machine.record, 'calm');
    bench.send(exited);
    assert.equal(deadlineOf(bench.machine), bench.nowMs + 100);
  });

  it('ends what does not become ready in time, and tries again', () => {
    const bench = new Bench();
    const ref = bench.started();
    bench.nowMs += defaultLimits.startTimeoutMs;
    assert.deepEqual(bench.send({ kind: 'timer' }), [{ kind: 'signal', ref, signal: 'SIGTERM' }]);
    bench.send({ kind: 'exited', reason: 'signal SIGTERM' });
    assert.equal(bench.kind, 'backoff');
    assert.match(bench.machine.lastEnd, /not ready/);
  });

  it('kills what ignores SIGTERM for ten seconds', () => {
    const bench = new Bench();
    const ref = bench.started();
    assert.deepEqual(bench.send({ kind: 'stop' }), [{ kind: 'signal', ref, signal: 'SIGTERM' }]);
    bench.nowMs += defaultLimits.stopTimeoutMs - 1;
    assert.deepEqual(bench.send({ kind: 'timer' }), []);
    bench.nowMs += 1;
    assert.deepEqual(bench.send({ kind: 'timer' }), [{ kind: 'signal', ref, signal: 'SIGKILL' }]);
    bench.send(exited);
    assert.equal(bench.kind, 'stopped');
  });

  it('stops a process whose start was still under way', () => {
    const bench = new Bench();
    bench.send({ kind: 'start' });
    bench.send({ kind: 'stop' });
    bench.spawned();
    assert.equal(bench.kind, 'stopping');
    bench.send(exited);
    assert.equal(bench.kind, 'stopped');
  });

  it('kills a process that arrives when nobody waits for it', () => {
    const bench = new Bench();
    const stray = { pid: 9, startTicks: 9, bootId: 'boot' };
    assert.deepEqual(bench.send({ kind: 'spawned', ref: stray }), [
      { kind: 'signal', ref: stray, signal: 'SIGKILL' },
    ]);
    assert.equal(bench.kind, 'stopped');
  });

  it('is unready only after three failed probes in a row', () => {
    const bench = new Bench();
    bench.started();
    bench.send({ kind: 'probe', ok: true });
    for (const ok of [false, false, true, false, false]) bench.send({ kind: 'probe', ok });
    assert.equal(bench.kind, 'ready');
    bench.send({ kind: 'probe', ok: false });
    assert.equal(bench.kind, 'unready');
    bench.send({ kind: 'probe', ok: true });
    assert.equal(bench.kind, 'ready');
  });

  it('starts at once, with a clean record, when what it runs was changed', () => {
    const bench = new Bench();
    bench.started();
    for (let crash = 0; crash < 6; crash++) {
      bench.send(exited);
      bench.toDeadline();
      bench.spawned();
    }
    bench.send(exited);
    assert.equal(bench.kind, 'crashloop');
    assert.deepEqual(bench.send({ kind: 'replace' }), [{ kind: 'spawn' }]);
    assert.equal(bench.machine.record, 'calm');
  });

  it('stays stopped when it is changed while it stops', () => {
    const bench = new Bench();
    bench.started();
    bench.send({ kind: 'stop' });
    bench.send({ kind: 'replace' });
    bench.send(exited);
    assert.equal(bench.kind, 'stopped');
  });

  it('counts a start that failed like a crash', () => {
    const bench = new Bench();
    bench.send({ kind: 'start' });
    bench.send({ kind: 'spawn_failed', reason: 'no such file' });
    assert.equal(bench.kind, 'backoff');
    assert.equal(bench.machine.lastEnd, 'no such file');
  });

  it('never has two processes and never loses one, whatever happens', () => {
    const command = fc.oneof(
      fc.constantFrom<ProcessEvent>(
        { kind: 'start' },
        { kind: 'stop' },
        { kind: 'replace' },
        { kind: 'timer' },
        { kind: 'probe', ok: true },
        { kind: 'probe', ok: false },
      ),
      fc.constant('exit' as const),
      fc.constant('spawn' as const),
      fc.integer({ min: 1, max: 120_000 }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
        const host = new Host();
        for (const one of commands) {
          host.obey(one);
          assert.ok(host.running + host.due <= 1, 'two at once');
          assert.equal(refOf(host.bench.machine) !== undefined, host.running === 1);
        }
      }),
    );
  });
});
