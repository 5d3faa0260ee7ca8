import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLiveness, graceMs } from '../../../../pilot/world/liveness.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const lookEveryMs = 1_000;
const nodes = Array.from({ length: 10 }, (_, at) => `n${at}`);
const all = new Set(nodes);
const none = new Set<string>();
const allBut = (...silent: string[]) => new Set(nodes.filter((node) => !silent.includes(node)));

function setUp() {
  const clock = new FakeClock();
  const liveness = createLiveness(clock, lookEveryMs);
  /** Looks every second for `forMs`, as a pilot does. */
  const lookFor = (forMs: number, heard: ReadonlySet<string>): readonly string[] => {
    let dead: ReadonlySet<string> = new Set();
    for (let passed = 0; passed < forMs; passed += lookEveryMs) {
      clock.advance(lookEveryMs);
      dead = liveness.look(nodes, heard);
    }
    return [...dead].sort();
  };
  return { clock, liveness, lookFor };
}

describe('createLiveness', () => {
  it('lets nobody die within the grace after a start, then those that stayed silent', () => {
    const { lookFor } = setUp();
    const heard = allBut('n3');
    assert.deepEqual(lookFor(graceMs - lookEveryMs, heard), []);
    assert.deepEqual(lookFor(lookEveryMs, heard), ['n3']);
  });

  it('never lets more than a fifth be dead at once, the longest silent first', () => {
    const { lookFor } = setUp();
    lookFor(graceMs, all);
    assert.deepEqual(lookFor(1_000, allBut('n7')), ['n7']);
    assert.deepEqual(lookFor(1_000, allBut('n7', 'n8')), ['n7', 'n8']);
    assert.deepEqual(lookFor(600_000, none), ['n7', 'n8']);
    assert.deepEqual(lookFor(1_000, new Set(['n7'])).length, 2);
    assert.deepEqual(lookFor(1_000, all), []);
  });

  it('lets nobody die within the grace after a recovery, and keeps the dead dead', () => {
    const { liveness, lookFor } = setUp();
    lookFor(graceMs, all);
    assert.deepEqual(lookFor(1_000, allBut('n1')), ['n1']);
    liveness.recovered();
    assert.deepEqual(lookFor(graceMs - lookEveryMs, none), ['n1']);
    assert.equal(lookFor(lookEveryMs, none).length, 2);
  });

  it('counts its own long pause as a recovery', () => {
    const { clock, liveness, lookFor } = setUp();
    lookFor(graceMs, all);
    clock.advance(10 * 60_000);
    assert.equal(liveness.look(nodes, none).size, 0);
    assert.deepEqual(lookFor(graceMs - lookEveryMs, none), []);
  });

  it('lets the only node of a mesh die', () => {
    const clock = new FakeClock();
    const liveness = createLiveness(clock, lookEveryMs);
    for (let at = 0; at <= graceMs; at += lookEveryMs) {
      clock.advance(lookEveryMs);
      liveness.look(['only'], none);
    }
    assert.deepEqual([...liveness.look(['only'], none)], ['only']);
  });
});
