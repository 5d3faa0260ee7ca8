/** Memory is given back once traffic has ended, and not again for nothing. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  burstRequests,
  calmChecks,
  floodCheckMs,
  floodedChecks,
  quietMs,
  quietRequests,
  releaseAfterFloods,
  releaseWhenQuiet,
} from '../../../sidecar/quiet.ts';
import { FakeClock } from '../../support/fake-clock.ts';

it('releases memory once after a burst, not during it and not without one', () => {
  const clock = new FakeClock();
  let done = 0;
  let releases = 0;
  const timer = releaseWhenQuiet({ clock, work: () => done, release: () => releases++ });
  clock.advance(3 * quietMs);
  assert.equal(releases, 0);
  for (let n = 0; n < 5; n++) {
    done += burstRequests;
    clock.advance(quietMs);
  }
  assert.equal(releases, 0);
  done += quietRequests - 1;
  clock.advance(quietMs);
  assert.equal(releases, 1);
  done += burstRequests - quietRequests;
  clock.advance(5 * quietMs);
  assert.equal(releases, 1);
  timer.cancel();
  done += burstRequests;
  clock.advance(5 * quietMs);
  assert.equal(releases, 1);
});

it('releases memory while floods last, now and then, and once after them', () => {
  const clock = new FakeClock();
  let floods = 7;
  let releases = 0;
  const timer = releaseAfterFloods({ clock, floods: () => floods, release: () => releases++ });
  clock.advance(60_000);
  assert.equal(releases, 0);
  floods++;
  clock.advance(calmChecks * floodCheckMs);
  assert.equal(releases, 0);
  clock.advance(floodCheckMs);
  assert.equal(releases, 1);
  clock.advance(60_000);
  assert.equal(releases, 1);
  for (let n = 0; n < 5 * floodedChecks; n++) {
    floods += 100;
    clock.advance(floodCheckMs);
  }
  assert.equal(releases, 1 + 5);
  clock.advance(60_000);
  assert.equal(releases, 1 + 5 + 1);
  floods++;
  timer.cancel();
  clock.advance(60_000);
  assert.equal(releases, 1 + 5 + 1);
});
