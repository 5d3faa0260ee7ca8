/** When a request may be sent a second time: only if surely nobody has acted on the first. */
import type { MeshError } from '../../kit/errors.ts';

export const retryLimits = {
  /** Request bytes kept for a second attempt; a longer body is sent once. */
  maxReplayBytes: 64 * 1024,
};

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * `always`: the request never reached anyone (refused, GOAWAY). `if_reused`: a pooled connection died before a byte
 * of an answer, which an idempotent request survives (RFC 9112 §9.3.1).
 */
export function canRetry(error: MeshError, reused: boolean, method: string): boolean {
  return error.retry === 'always' || (error.retry === 'if_reused' && reused && idempotent.has(method));
}
