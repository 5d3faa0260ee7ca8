/** Exponential backoff with jitter, for everything that reconnects or restarts. */
import type { Random } from './random.ts';

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  /** Share of the delay that is random: 1 is full jitter, 0.1 is ±10 %. */
  readonly jitter: number;
}

export interface Backoff {
  /** The next delay in milliseconds; each call doubles the step up to `maxMs`. */
  nextMs(): number;
  /** Starts over, after a success. */
  reset(): void;
}

export function createBackoff(options: BackoffOptions, random: Random): Backoff {
  let stepMs = options.baseMs;
  return {
    nextMs() {
      const delayMs = stepMs;
      stepMs = Math.min(stepMs * 2, options.maxMs);
      return options.jitter >= 1 ? delayMs * random() : delayMs * (1 + options.jitter * (2 * random() - 1));
    },
    reset() {
      stepMs = options.baseMs;
    },
  };
}
