// hot: one per request.
/**
 * How long a request may take: as a whole, in one attempt, and without a byte moving. One timer serves all three;
 * it is armed for the nearest and, when it fires, the request is judged anew, so a moving byte costs nothing.
 */
import { MeshError } from '../../kit/errors.ts';
import { type TimerWheel, WheelTimer } from '../net/timer-wheel.ts';

const never = Number.POSITIVE_INFINITY;

/** Points in time are the clock's milliseconds. */
export class Deadlines extends WheelTimer {
  requestMs = never;
  attemptMs = never;
  #idleMs = never;
  /** The longest time without a byte, or 0 for no bound. */
  #idleForMs = 0;
  /** Bytes moved when the idle time was last looked at. */
  #seenBytes = 0;

  /** From now on something has to move at least every `forMs`; 0 for no bound. */
  boundIdle(nowMs: number, forMs: number): void {
    this.#idleForMs = forMs;
    if (forMs > 0) this.#idleMs = nowMs + forMs;
  }

  /** The answer has begun. A tunnel is no request any more: only its idle time bounds it still. */
  onAnswer(isTunnel: boolean): void {
    this.attemptMs = never;
    if (isTunnel) this.requestMs = never;
  }

  arm(timers: TimerWheel, nowMs: number): void {
    const nextMs = Math.min(this.requestMs, this.attemptMs, this.#idleMs);
    if (nextMs !== never) timers.arm(this, Math.max(0, nextMs - nowMs));
  }

  disarm(timers: TimerWheel): void {
    timers.disarm(this);
  }

  /** Which bound is passed, if any. `bytes` is what the request has moved since its start, both ways. */
  passed(nowMs: number, bytes: number): MeshError | undefined {
    if (bytes !== this.#seenBytes) {
      this.#seenBytes = bytes;
      this.boundIdle(nowMs, this.#idleForMs);
    }
    if (nowMs >= this.requestMs)
      return timeUp('deadline_exceeded', 'the request took longer than its timeout');
    if (nowMs >= this.attemptMs) return timeUp('request_timeout', 'the upstream took too long');
    if (nowMs >= this.#idleMs) return timeUp('idle_timeout', 'nothing moved for the idle time');
    return undefined;
  }
}

function timeUp(code: 'deadline_exceeded' | 'request_timeout' | 'idle_timeout', message: string): MeshError {
  return new MeshError(code, message, { origin: 'upstream' });
}
