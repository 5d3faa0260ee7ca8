import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sleep } from '../../../kit/clock.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('FakeClock', () => {
  it('fires timers in order of their hour, first set first', () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    clock.after(20, () => fired.push(`b at ${clock.nowMs()}`));
    clock.after(10, () => fired.push(`a at ${clock.nowMs()}`));
    clock.after(20, () => fired.push(`c at ${clock.nowMs()}`));
    clock.advance(19);
    assert.deepEqual(fired, ['a at 10']);
    clock.advance(1);
    assert.deepEqual(fired, ['a at 10', 'b at 20', 'c at 20']);
    assert.equal(clock.pending, 0);
  });

  it('fires what a timer sets on its way, and not what was cancelled', () => {
    const clock = new FakeClock();
    let count = 0;
    const again = () => {
      count++;
      clock.after(10, again);
    };
    clock.after(10, again);
    clock.after(5, () => assert.fail('was cancelled')).cancel();
    clock.advance(35);
    assert.equal(count, 3);
  });

  it('repeats until cancelled', () => {
    const clock = new FakeClock();
    let count = 0;
    const timer = clock.every(10, () => count++);
    clock.advance(40);
    timer.cancel();
    clock.advance(40);
    assert.equal(count, 4);
  });

  it('lets promises run between timers', async () => {
    const clock = new FakeClock();
    const hours: number[] = [];
    const walk = (async () => {
      for (let step = 0; step < 3; step++) {
        await sleep(clock, 10);
        hours.push(clock.nowMs());
      }
    })();
    await clock.advanceSlowly(30);
    await walk;
    assert.deepEqual(hours, [10, 20, 30]);
  });

  it('moves the wall clock apart from durations', () => {
    const clock = new FakeClock(1_000);
    clock.advance(5);
    clock.setWall(500);
    assert.equal(clock.nowMs(), 5);
    clock.advance(5);
    assert.equal(clock.wallMs(), 505);
  });
});
