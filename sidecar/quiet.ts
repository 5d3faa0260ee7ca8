/**
 * Gives memory back after a burst. V8 keeps a young generation of the size that the traffic once needed, and
 * collects when the next allocations come; a process that has fallen quiet would hold both for days. What a flood
 * leaves behind is given back also while others are served, for these need not come near the next collection.
 */
import type { Clock, Timer } from '../kit/clock.ts';

/** How long there must be next to nothing to do, and what that is. */
export const quietMs = 10_000;
export const quietRequests = 10;
/** Requests and connections since the last time, below which there is nothing worth a collection. */
export const burstRequests = 1_000;

export interface QuietInit {
  readonly clock: Clock;
  /** Requests ended and connections accepted so far. */
  readonly work: () => number;
  readonly release: () => void;
}

/** Watches until the timer that it returns is cancelled. */
export function releaseWhenQuiet({ clock, work, release }: QuietInit): Timer {
  let before = work();
  let released = before;
  return clock.every(quietMs, () => {
    const now = work();
    if (now - before < quietRequests && now - released >= burstRequests) {
      released = now;
      release();
    }
    before = now;
  });
}

/** How often floods are looked for. */
export const floodCheckMs = 1_000;
/** So many looks without another flood after which what they left is given back, */
export const calmChecks = 3;
/** and so many with one, for what they leave while they last. */
export const floodedChecks = 2;

export interface FloodsInit {
  readonly clock: Clock;
  /** Connections cut off so far. */
  readonly floods: () => number;
  readonly release: () => void;
}

/** Watches until the timer that it returns is cancelled. */
export function releaseAfterFloods({ clock, floods, release }: FloodsInit): Timer {
  let seen = floods();
  let flooded = 0;
  let calm = 0;
  let isDue = false;
  return clock.every(floodCheckMs, () => {
    const now = floods();
    if (now === seen) calm++;
    else {
      flooded++;
      calm = 0;
      isDue = true;
    }
    seen = now;
    if (isDue && calm >= calmChecks) isDue = false;
    else if (flooded < floodedChecks) return;
    flooded = 0;
    release();
  });
}
