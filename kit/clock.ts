/**
 * Time as a parameter. Everything outside `kit` that waits or asks the hour takes a `Clock`,
 * so tests turn time by hand (`test/support/fake-clock.ts`).
 */
import { performance } from 'node:perf_hooks';

export interface Timer {
  /** Ends the timer; it never fires afterwards. Calling it twice is harmless. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970, for certificates, logs and anything another machine reads. */
  wallMs(): number;
  /** Milliseconds on a line that never jumps, for durations and deadlines. */
  nowMs(): number;
  /** Runs `fire` once; the timer does not keep the process alive. `delayMs` is at most 2^31-1. */
  after(delayMs: number, fire: () => void): Timer;
  /** Runs `fire` again and again; the timer does not keep the process alive. */
  every(periodMs: number, fire: () => void): Timer;
}

/** Node turns a longer delay into 1 ms. */
const maxDelayMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  nowMs: () => performance.now(),
  after(delayMs, fire) {
    const timer = setTimeout(fire, Math.min(delayMs, maxDelayMs)).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, fire) {
    const timer = setInterval(fire, Math.min(periodMs, maxDelayMs)).unref();
    return { cancel: () => clearInterval(timer) };
  },
};

/** A promise that resolves after `delayMs`, or rejects with the signal's reason when it aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
