/** When a request may be sent a second time: if surely nobody has acted on the first, or if twice is as once. */
import type { MeshError } from '../../kit/errors.ts';

export const retryLimits = {
  /** Request bytes kept for a second attempt; a longer body is sent once. */
  maxReplayBytes: 64 * 1024,
  /**
   * Before the same endpoint is asked once more: an application that dies loses its connections a moment before the port
   * on which it listens.
   */
  sameEndpointMs: 25,
};

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * `always`: the request never reached anyone (refused, GOAWAY). `if_idempotent`: the upstream was gone before a byte of
 * an answer (RFC 9112 §9.3.1).
 */
export function canRetry(error: MeshError, method: string): boolean {
  return error.retry === 'always' || (error.retry === 'if_idempotent' && idempotent.has(method));
}
