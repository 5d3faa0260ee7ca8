/** When a certificate is renewed: at half its life, counted from its issue, ±10 % so that a fleet spreads out. */
import type { Random } from '../../kit/random.ts';

export interface Life {
  /** Milliseconds since 1970. */
  readonly issuedMs: number;
  /** Milliseconds since 1970. */
  readonly notAfterMs: number;
}

const jitter = 0.1;

/** Milliseconds since 1970. */
export function renewalTimeMs(life: Life, random: Random): number {
  const halfMs = (life.notAfterMs - life.issuedMs) / 2;
  return life.issuedMs + halfMs * (1 + jitter * (2 * random() - 1));
}

/** The share of its life that is left, 0 to 1. */
export function shareLeft(life: Life, nowMs: number): number {
  const share = (life.notAfterMs - nowMs) / (life.notAfterMs - life.issuedMs);
  return Math.min(1, Math.max(0, share));
}
