/** So many acts per second and caller, with a burst: one bucket per key, in a table of bounded size. */
import type { Clock } from '../kit/clock.ts';

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

export interface RateLimiter {
  /** Whether `key` may act now; counts it if so. */
  take(key: string): boolean;
  /** Takes back what `take` counted. */
  giveBack(key: string): void;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Beyond, the key that acted longest ago is forgotten, which at worst lets it act again. */
const maxKeys = 4_096;

export function createRateLimiter(limit: RateLimit, clock: Clock): RateLimiter {
  // In order of the last act.
  const buckets = new Map<string, Bucket>();

  function touch(key: string): Bucket {
    const nowMs = clock.nowMs();
    const bucket = buckets.get(key) ?? { tokens: limit.burst, atMs: nowMs };
    bucket.tokens = Math.min(limit.burst, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * limit.perSecond);
    bucket.atMs = nowMs;
    buckets.delete(key);
    buckets.set(key, bucket);
    if (buckets.size > maxKeys) {
      const [oldest] = buckets.keys();
      if (oldest !== undefined) buckets.delete(oldest);
    }
    return bucket;
  }

  return {
    take(key) {
      const bucket = touch(key);
      if (bucket.tokens < 1) return false;
      bucket.tokens -= 1;
      return true;
    },
    giveBack(key) {
      touch(key).tokens += 1;
    },
  };
}
