/** When a request may be sent a second time: if surely nobody has acted on the first, or if twice is as once. */
import type { ErrorCode, MeshError } from '../../kit/errors.ts';
import type { RetryPolicy } from '../../mesh/model.ts';

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
 * The endpoint took the connection and not the request (REFUSED_STREAM, GOAWAY), or the place where the request
 * waited is gone: nobody saw it, so sending it is still the first attempt. An endpoint that cannot be reached is what
 * `retry.attempts` is about.
 */
const unseen: ReadonlySet<ErrorCode> = new Set([
  'stream_refused',
  'connection_closed',
  'unavailable',
  'version_not_supported',
]);

/** Whether a request that was sent `times` already may be sent again. */
export function mayRetry(error: MeshError, method: string, times: number, policy: RetryPolicy): boolean {
  if (!canRetry(error, method)) return false;
  const retries = error.retry === 'always' && unseen.has(error.code) ? 1 : 0;
  return times <= Math.max(retries, policy.attempts);
}

/** Whether the endpoint that failed is not to be asked again: it would hang up again, or take all that time again. */
export function goesOnlyElsewhere(error: MeshError): boolean {
  return error.retry === 'elsewhere' || error.code === 'connect_timeout';
}

/**
 * `always`: the request never reached anyone (refused, GOAWAY). `if_idempotent`: the upstream was gone before a byte of
 * an answer (RFC 9112 §9.3.1). `elsewhere`: the same, if there is another endpoint.
 */
function canRetry(error: MeshError, method: string): boolean {
  return error.retry === 'always' || (error.retry !== 'never' && idempotent.has(method));
}
