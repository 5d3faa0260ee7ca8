/**
 * Node's error codes → `MeshError`; the one place that knows them.
 * `retry` says whether a request that met this error may be sent again.
 */
import { type ErrorCode, MeshError, messageOf, type Origin, type Retry } from '../../kit/errors.ts';

/** Why a dial failed: nothing was sent, so the request may always go elsewhere. */
export function dialError(cause: unknown, where: string): MeshError {
  const code = codeOf(cause);
  return new MeshError(dialCode(code), `cannot connect to ${where}: ${code || messageOf(cause)}`, {
    origin: 'upstream',
    retry: 'always',
    cause,
  });
}

/** Why an established connection broke. */
export function connectionError(cause: unknown, origin: Origin): MeshError {
  if (cause instanceof MeshError) return cause;
  const code = codeOf(cause);
  if (isTlsCode(code)) {
    return new MeshError('tls_failed', `tls failed: ${messageOf(cause)}`, { origin, cause });
  }
  // A pooled connection may have been closed by its other end before our bytes came: all of these mean that.
  const retry: Retry = 'if_idempotent';
  return new MeshError('connection_reset', `connection broke: ${code || messageOf(cause)}`, {
    origin,
    retry,
    cause,
  });
}

/** What an operator is told when a port cannot be listened on: what, where and what to do. */
export function listenError(cause: unknown, where: string): MeshError {
  const code = codeOf(cause);
  const advice = listenAdvice[code] ?? 'check the address and the limits of this process';
  return new MeshError('unavailable', `cannot listen on ${where} (${code || messageOf(cause)}): ${advice}`, {
    origin: 'local',
    cause,
  });
}

/** Node's code of anything thrown, or ''. */
export function codeOf(thrown: unknown): string {
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
  return typeof code === 'string' ? code : '';
}

function dialCode(code: string): ErrorCode {
  if (code === 'ECONNREFUSED') return 'connect_refused';
  if (code === 'ETIMEDOUT') return 'connect_timeout';
  return isTlsCode(code) ? 'tls_failed' : 'connect_failed';
}

/** OpenSSL's errors, Node's own TLS errors, and the verification results that Node reports by name. */
function isTlsCode(code: string): boolean {
  return (
    code.startsWith('ERR_SSL_') ||
    code.startsWith('ERR_TLS_') ||
    code.startsWith('CERT_') ||
    code.includes('_CERT') ||
    code === 'EPROTO'
  );
}

const listenAdvice: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process has this port; stop it or choose another port',
  EACCES: 'this user may not use this port; choose one above 1023 or grant CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAFNOSUPPORT: 'this machine does not speak that address family',
  EMFILE: 'this process has no file descriptors left; raise its limit (ulimit -n)',
  ENFILE: 'this machine has no file descriptors left',
  EBADF: 'the inherited descriptor is not open; start without LISTEN_FDS',
  EINVAL: 'the inherited descriptor is not a listening socket',
  ENOTSOCK: 'the inherited descriptor is not a socket',
};
