// hot: armed several times per request.
/**
 * Coarse timers for connections: one interval for all of them, and only while there are any.
 *
 *   slots   [0][1][2] … [511]     one per tick of 100 ms; a slot is a ring of timers
 *                  ▲ tick
 *
 * A timer that is armed anew for later stays where it is and moves when its old slot comes round, so the usual
 * "once more 60 s" is one store. A timer fires up to one tick late, never early.
 */
import type { Clock, Timer } from '../../kit/clock.ts';

export const tickMs = 100;
const slotCount = 512;
/** The `slotTick` of a timer whose ring is being worked through. */
const expiring = -2;

export interface TimerOwner {
  onTimer(): void;
}

/** One timer of one owner; it costs nothing while it is not armed. */
export class WheelTimer {
  readonly owner: TimerOwner;
  /** The tick at which it fires, or -1. */
  deadline = -1;
  /** The tick whose slot it hangs in, -1 for none, -2 for one that is just being worked through. */
  slotTick = -1;
  next: WheelTimer | undefined = undefined;
  previous: WheelTimer | undefined = undefined;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }
}

export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: (WheelTimer | undefined)[] = new Array<WheelTimer | undefined>(slotCount).fill(undefined);
  #interval: Timer | undefined = undefined;
  #tick = 0;
  #startedMs = 0;
  #size = 0;
  /** What is left of the ring that `#expire` is working through. */
  #rest: WheelTimer | undefined = undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many timers hang in the wheel. */
  get size(): number {
    return this.#size;
  }

  /** Steps of `tickMs`, counted while anything is armed. */
  get tick(): number {
    return this.#tick;
  }

  /** Calls the owner once after `delayMs`, instead of whatever the timer was armed for. */
  arm(timer: WheelTimer, delayMs: number): void {
    if (this.#interval === undefined) this.#start();
    // One more tick: the current one has begun already.
    const deadline = this.#tick + Math.ceil(delayMs / tickMs) + 1;
    timer.deadline = deadline;
    if (timer.slotTick !== -1) {
      if (timer.slotTick <= deadline) return;
      this.#unlink(timer);
    }
    this.#link(timer);
  }

  /** The timer does not fire and the wheel keeps no reference to it. */
  disarm(timer: WheelTimer): void {
    timer.deadline = -1;
    if (timer.slotTick !== -1) this.#unlink(timer);
  }

  #start(): void {
    this.#startedMs = this.#clock.nowMs();
    this.#tick = 0;
    this.#interval = this.#clock.every(tickMs, () => this.#advance());
  }

  /** After a stall or a suspended machine all missed ticks are caught up with, each slot once. */
  #advance(): void {
    const now = Math.floor((this.#clock.nowMs() - this.#startedMs) / tickMs);
    const from = Math.max(this.#tick + 1, now - slotCount + 1);
    if (now > this.#tick) this.#tick = now;
    for (let tick = from; tick <= now && this.#size > 0; tick++) this.#expire(tick % slotCount);
    if (this.#size === 0) {
      this.#interval?.cancel();
      this.#interval = undefined;
    }
  }

  /** Takes the whole ring out first, so that what is armed by an owner waits for its own turn. */
  #expire(slot: number): void {
    let timer = this.#slots[slot];
    this.#slots[slot] = undefined;
    for (let each = timer; each !== undefined; each = each.next) each.slotTick = expiring;
    while (timer !== undefined) {
      const next: WheelTimer | undefined = timer.next;
      timer.next = undefined;
      timer.previous = undefined;
      timer.slotTick = -1;
      this.#size--;
      if (next !== undefined) next.previous = undefined;
      if (timer.deadline > this.#tick) this.#link(timer);
      else if (timer.deadline !== -1) {
        timer.deadline = -1;
        // While the owner runs, the rest of the ring hangs on `#rest`, where `disarm` may take from it.
        this.#rest = next;
        timer.owner.onTimer();
        timer = this.#rest;
        continue;
      }
      timer = next;
    }
    this.#rest = undefined;
  }

  #link(timer: WheelTimer): void {
    const tick = Math.min(timer.deadline, this.#tick + slotCount - 1);
    const slot = tick % slotCount;
    const head = this.#slots[slot];
    timer.slotTick = tick;
    timer.next = head;
    timer.previous = undefined;
    if (head !== undefined) head.previous = timer;
    this.#slots[slot] = timer;
    this.#size++;
  }

  #unlink(timer: WheelTimer): void {
    if (timer.previous !== undefined) timer.previous.next = timer.next;
    else if (timer.slotTick === expiring) this.#rest = timer.next;
    else this.#slots[timer.slotTick % slotCount] = timer.next;
    if (timer.next !== undefined) timer.next.previous = timer.previous;
    timer.next = undefined;
    timer.previous = undefined;
    timer.slotTick = -1;
    this.#size--;
  }
}
