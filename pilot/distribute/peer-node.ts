/** Which node stands at the other end of a call, by the certificate that its TLS connection showed. */
import { MeshError } from '../../kit/errors.ts';
import { verifyPeer } from '../../mesh/svid.ts';

export interface PeerNode {
  readonly node: string;
  /** Milliseconds since 1970: a stream must not outlive it. */
  readonly notAfterMs: number;
}

interface AuthenticatedCall {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } };
}

/** Throws `identity_refused` where the peer is not a node of this trust domain. */
export function peerNodeOf(call: AuthenticatedCall, trustDomain: string, nowMs: number): PeerNode {
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate === undefined) throw refused('the caller shows no certificate');
  const svid = verifyPeer(certificate.raw, { trustDomain, names: 'any_node', nowMs, origin: 'downstream' });
  if (svid.identity.kind !== 'node') throw refused(`${svid.name} is no node`);
  return { node: svid.identity.node, notAfterMs: svid.notAfterMs };
}

function refused(why: string): MeshError {
  return new MeshError('identity_refused', why, { origin: 'downstream' });
}
