/**
 * Gives memory back after a burst. V8 keeps a young generation of the size that the traffic once needed, and
 * collects when the next allocations come; a process that has fallen quiet would hold both for days.
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
