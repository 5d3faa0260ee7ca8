/** Time turned by hand: timers fire in order of their hour, only while `advance` runs. */
import type { Clock, Timer } from '../../kit/clock.ts';

interface Pending {
  dueMs: number;
  /** Breaks ties between timers of one moment: first set, first fired. */
  readonly order: number;
  readonly periodMs: number | undefined;
  readonly fire: () => void;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  /** `startMs` is the wall clock's first hour, in milliseconds since 1970. */
  constructor(startMs = Date.UTC(2030, 0, 1)) {
    this.#wallOffsetMs = startMs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#add(delayMs, undefined, fire);
  }

  every(periodMs: number, fire: () => void): Timer {
    return this.#add(periodMs, periodMs, fire);
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Moves time on and fires what falls due, timers set meanwhile included. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) this.#fire(next);
    this.#nowMs = endMs;
  }

  /** Like `advance`, and lets promises and I/O run after every timer. */
  async advanceSlowly(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs;
    await loopTurn();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#fire(next);
      await loopTurn();
    }
    this.#nowMs = endMs;
    await loopTurn();
  }

  /** Sets the wall clock without touching durations, as an operator or NTP does. */
  setWall(wallMs: number): void {
    this.#wallOffsetMs = wallMs - this.#nowMs;
  }

  #add(delayMs: number, periodMs: number | undefined, fire: () => void): Timer {
    // Node takes 0 and less as 1 ms; a period of 0 would never let `advance` end.
    const firstMs = Math.max(delayMs, 1);
    const repeatMs = periodMs === undefined ? undefined : Math.max(periodMs, 1);
    const timer = { dueMs: this.#nowMs + firstMs, order: this.#order++, periodMs: repeatMs, fire };
    this.#pending.add(timer);
    return { cancel: () => void this.#pending.delete(timer) };
  }

  #next(untilMs: number): Pending | undefined {
    let next: Pending | undefined;
    for (const timer of this.#pending) {
      if (timer.dueMs > untilMs) continue;
      const isEarlier =
        next === undefined ||
        timer.dueMs < next.dueMs ||
        (timer.dueMs === next.dueMs && timer.order < next.order);
      if (isEarlier) next = timer;
    }
    return next;
  }

  #fire(timer: Pending): void {
    this.#nowMs = timer.dueMs;
    if (timer.periodMs === undefined) this.#pending.delete(timer);
    else timer.dueMs += timer.periodMs;
    timer.fire();
  }
}

function loopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
