/** What a finished handshake proved about the other end, and words for what went wrong where it proved nothing. */
import type { TLSSocket } from 'node:tls';
import { MeshError, messageOf, type Origin } from '../../kit/errors.ts';
import type { MtlsMode } from '../../mesh/model.ts';
import { type PeerExpectation, verifyPeer } from '../../mesh/svid.ts';
import type { PeerTls } from './conn.ts';

export interface PeerRules extends PeerExpectation {
  readonly mode: MtlsMode;
  /** Application protocols of which one must have been agreed, or none where permissive; empty leaves it open. */
  readonly protocols: readonly string[];
}

/**
 * The peer of a finished handshake. Throws `identity_refused` or `tls_failed`.
 * A certificate that is shown must be right also where none is asked for.
 */
export function peerTlsOf(socket: TLSSocket, rules: PeerRules): PeerTls {
  const protocol = socket.alpnProtocol || undefined;
  const serverName = typeof socket.servername === 'string' ? socket.servername : undefined;
  const mustAgree = rules.protocols.length > 0 && (rules.mode === 'strict' || protocol !== undefined);
  if (mustAgree && (protocol === undefined || !rules.protocols.includes(protocol)))
    throw refusal('tls_failed', `peer agreed to no protocol of ${rules.protocols.join()}`, rules.origin);
  if (socket.isSessionReused()) throw refusal('tls_failed', 'peer resumed a session', rules.origin);
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    if (rules.mode === 'strict')
      throw refusal('identity_refused', 'peer showed no certificate', rules.origin);
    return { identity: undefined, serverName, protocol, notAfterMs: undefined };
  }
  if (!socket.authorized) throw chainRefusal(String(socket.authorizationError), rules.origin);
  const svid = verifyPeer(certificate.raw, rules);
  return { identity: svid.name, serverName, protocol, notAfterMs: svid.notAfterMs };
}

/** OpenSSL's verdicts on a chain in words of ours; others are given as they are. */
const chainVerdicts: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has ended',
  CERT_NOT_YET_VALID: 'it is not valid yet (is a clock wrong?)',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'its root is not in our trust bundle',
  UNABLE_TO_GET_ISSUER_CERT: 'its issuer is not in our trust bundle',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its issuer is neither in its chain nor in our trust bundle',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its issuer is neither in its chain nor in our trust bundle',
  CERT_SIGNATURE_FAILURE: 'its signature is wrong',
  INVALID_CA: 'it is signed by a certificate that may not sign',
  INVALID_PURPOSE: 'its usage does not allow this role',
  UNSPECIFIED: 'a certificate of its chain breaks a rule of key size, usage or signature',
};

/** The error for a chain that TLS did not accept, by Node's code for it. */
export function chainRefusal(verdict: string, origin: Origin, cause?: unknown): MeshError {
  const why = chainVerdicts[verdict];
  const text = why === undefined ? verdict : `${why} (${verdict})`;
  return refusal('identity_refused', `peer certificate refused: ${text}`, origin, cause);
}

/** Turns what Node reports of a handshake that failed into ours. */
export function handshakeError(thrown: unknown, origin: Origin): MeshError {
  if (thrown instanceof MeshError) return thrown;
  const code = codeOf(thrown);
  if (code in chainVerdicts) return chainRefusal(code, origin, thrown);
  return refusal('tls_failed', `TLS handshake failed: ${handshakeText(code, thrown)}`, origin, thrown);
}

function handshakeText(code: string, thrown: unknown): string {
  switch (code) {
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the peer closed before it was done; it may have refused our certificate, its log says why';
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_HTTP_REQUEST':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'the peer speaks no TLS here';
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
      return 'the versions of both sides differ, TLS 1.3 is needed';
    case 'ERR_SSL_NO_APPLICATION_PROTOCOL':
    case 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL':
      return 'the sides share no application protocol';
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return 'it took too long';
    default: {
      const reason = (thrown as { reason?: unknown } | null)?.reason;
      return typeof reason === 'string' ? reason : messageOf(thrown);
    }
  }
}

function codeOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** Nothing of a request has left or been read at this point, so it may go elsewhere. */
function refusal(
  code: 'identity_refused' | 'tls_failed',
  why: string,
  origin: Origin,
  cause?: unknown,
): MeshError {
  return new MeshError(code, why, { origin, retry: 'always', cause });
}
