/** Looks at what the pilot issued before it is used: a wrong answer must not replace a right certificate. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { MeshError, messageOf } from '../../kit/errors.ts';
import { verifyPeer } from '../../mesh/svid.ts';
import type { IssuedCertificate } from '../../proto/certificates-wire.ts';

export interface Expected {
  /** The SPIFFE name that was asked for. */
  readonly name: string;
  readonly trustDomain: string;
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  readonly nowMs: number;
}

/** Most certificates between leaf and root. */
const maxChain = 5;

/** Throws `invalid` naming what does not fit. */
export function checkIssued(issued: IssuedCertificate, expected: Expected): void {
  try {
    const chain = readCertificates(issued.certificateChain);
    const roots = readCertificates(issued.trustBundle);
    const [leaf] = chain;
    if (leaf === undefined || roots.length === 0) throw new Error('it holds no certificate or no root');
    if (!leaf.checkPrivateKey(createPrivateKey(expected.privateKey)))
      throw new Error('it is for another key');
    const { name: names, trustDomain, nowMs } = expected;
    const svid = verifyPeer(leaf.raw, { names, trustDomain, nowMs, origin: 'upstream' });
    if (svid.notAfterMs !== issued.notAfterMs) throw new Error('it ends at another time than said');
    if (!endsInRoot(chain, roots)) throw new Error('it does not lead to a root of the trust bundle');
  } catch (cause) {
    const why = `issued certificate refused: ${messageOf(cause)}`;
    throw new MeshError('invalid', why, { origin: 'upstream', cause });
  }
}

export function readCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** Whether each certificate is signed by the next, and the last one by a root. */
function endsInRoot(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): boolean {
  if (chain.length > maxChain) return false;
  return chain.every((certificate, at) => {
    const next = chain[at + 1];
    const issuers = next === undefined ? roots : [next];
    return issuers.some(
      (issuer) => issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey),
    );
  });
}
