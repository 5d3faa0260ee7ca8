/**
 * The one error type that crosses folder borders.
 *
 * Low layers say what happened (`code`), whose fault it is (`origin`) and
 * whether the request may be sent again (`retry`). Only `sidecar/proxy/respond.ts`
 * turns that into a status code.
 */
export type ErrorCode =
  | 'connect_refused'
  | 'connect_timeout'
  | 'connect_failed'
  | 'connection_reset'
  | 'connection_closed'
  | 'stream_reset'
  | 'stream_refused'
  | 'malformed_message'
  | 'not_implemented'
  | 'version_not_supported'
  | 'expectation_failed'
  | 'uri_too_long'
  | 'head_too_large'
  | 'body_too_large'
  | 'no_route'
  | 'no_backend'
  | 'no_cluster'
  | 'no_healthy_endpoint'
  | 'denied'
  | 'overloaded'
  | 'limit_exceeded'
  | 'request_timeout'
  | 'idle_timeout'
  | 'deadline_exceeded'
  | 'draining'
  | 'identity_refused'
  | 'tls_failed'
  | 'not_found'
  | 'conflict'
  | 'compacted'
  | 'unavailable'
  | 'invalid'
  | 'internal';

export type Origin = 'downstream' | 'upstream' | 'local';

/**
 * Whether a request that met the error may be sent again. `always`: nobody can have acted on it. `if_idempotent`:
 * somebody may have, and nothing of an answer came. `elsewhere`: the same, on a connection that had answered nothing
 * before, so it did not die of age: the endpoint would do it again.
 */
export type Retry = 'never' | 'elsewhere' | 'if_idempotent' | 'always';

export interface MeshErrorInit {
  readonly origin: Origin;
  readonly retry?: Retry;
  readonly cause?: unknown;
}

export class MeshError extends Error {
  override readonly name = 'MeshError';
  readonly code: ErrorCode;
  readonly origin: Origin;
  readonly retry: Retry;

  constructor(code: ErrorCode, message: string, init: MeshErrorInit) {
    super(message, { cause: init.cause });
    this.code = code;
    this.origin = init.origin;
    this.retry = init.retry ?? 'never';
  }
}

/** The text of anything thrown, for log fields and messages. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** What the system says of a file or socket, without the code and the call that Node puts around it. */
export function systemReason(thrown: unknown): string {
  const message = messageOf(thrown);
  return /^E[A-Z0-9]+: (.+?), [a-z]+(?: '.*)?$/s.exec(message)?.[1] ?? message;
}
