import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TimerWheel, tickMs, WheelTimer } from '../../../../sidecar/net/timer-wheel.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function setUp() {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const firedAt: number[] = [];
  const timer = new WheelTimer({ onTimer: () => firedAt.push(clock.nowMs()) });
  return { clock, wheel, timer, firedAt };
}

describe('TimerWheel', () => {
  it('fires once, never early and at most two ticks late', () => {
    const { clock, wheel, timer, firedAt } = setUp();
    wheel.arm(timer, 1000);
    clock.advance(5000);
    assert.equal(firedAt.length, 1);
    assert.ok((firedAt[0] ?? 0) >= 1000 && (firedAt[0] ?? 0) <= 1000 + 2 * tickMs);
  });

  it('runs no interval while nothing is armed', () => {
    const { clock, wheel, timer } = setUp();
    assert.equal(clock.pending, 0);
    wheel.arm(timer, 500);
    assert.equal(clock.pending, 1);
    wheel.disarm(timer);
    clock.advance(tickMs);
    assert.equal(clock.pending, 0);
    assert.equal(wheel.size, 0);
  });

  it('waits for the last word when armed again, for earlier or later', () => {
    const { clock, wheel, timer, firedAt } = setUp();
    wheel.arm(timer, 60_000);
    wheel.arm(timer, 300);
    wheel.arm(timer, 2000);
    clock.advance(1900);
    assert.deepEqual(firedAt, []);
    clock.advance(400);
    assert.equal(firedAt.length, 1);
  });

  it('holds deadlines beyond one turn of the wheel', () => {
    const { clock, wheel, timer, firedAt } = setUp();
    wheel.arm(timer, 200_000);
    clock.advance(199_900);
    assert.deepEqual(firedAt, []);
    clock.advance(400);
    assert.equal(firedAt.length, 1);
  });

  it('lets an owner disarm its neighbour in the same slot', () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock);
    let fired = 0;
    const timers: WheelTimer[] = [];
    for (let i = 0; i < 3; i++) {
      timers.push(
        new WheelTimer({
          onTimer: () => {
            fired++;
            for (const other of timers) wheel.disarm(other);
          },
        }),
      );
    }
    for (const timer of timers) wheel.arm(timer, 100);
    clock.advance(1000);
    assert.equal(fired, 1);
    assert.equal(wheel.size, 0);
  });

  it('fires every timer by its last arming, whatever the order of arming and disarming', () => {
    const step = fc.record({
      timer: fc.nat(9),
      delay: fc.oneof(fc.nat(1000), fc.nat(120_000)),
      wait: fc.nat(30_000),
      disarm: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const clock = new FakeClock();
        const wheel = new TimerWheel(clock);
        const due = new Map<number, number>();
        const timers = Array.from({ length: 10 }, (_, i) => {
          return new WheelTimer({
            onTimer: () => {
              const at = due.get(i);
              assert.ok(at !== undefined && clock.nowMs() >= at && clock.nowMs() <= at + 2 * tickMs);
              due.delete(i);
            },
          });
        });
        for (const { timer, delay, wait, disarm } of steps) {
          const chosen = timers[timer] as WheelTimer;
          if (disarm) {
            wheel.disarm(chosen);
            due.delete(timer);
          } else {
            wheel.arm(chosen, delay);
            due.set(timer, clock.nowMs() + delay);
          }
          clock.advance(wait);
          for (const at of due.values()) assert.ok(at + 2 * tickMs >= clock.nowMs(), 'a timer was lost');
        }
        assert.equal(wheel.size, due.size);
      }),
    );
  });
});
