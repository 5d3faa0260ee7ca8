/** Keys are made where they are used and never leave it; only a signing request does (PKCS #10, RFC 2986). */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { encode, encodeBits, encodeOid, encodeUnsigned, tag } from '../../kit/der.ts';

export interface KeyPair {
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  /** DER. Names nobody: who asks is known from the connection, what is due from the placement. */
  readonly signingRequest: Buffer;
}

/** ecdsa-with-SHA256, RFC 5758 §3.2. */
export const ecdsaWithSha256 = '1.2.840.10045.4.3.2';

/** A new ECDSA P-256 key with the request to certify it. */
export function createKeyPair(): KeyPair {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    signingRequest: createSigningRequest(privateKey),
  };
}

/** The request to certify a key that is there already, PEM. */
export function signingRequestOf(privateKey: string): Buffer {
  return createSigningRequest(createPrivateKey(privateKey));
}

function createSigningRequest(privateKey: KeyObject): Buffer {
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const version = encodeUnsigned(Buffer.from([0]));
  const emptySubject = encode(tag.sequence);
  const noAttributes = encode(0xa0);
  const info = encode(tag.sequence, version, emptySubject, publicKey, noAttributes);
  const algorithm = encode(tag.sequence, encodeOid(ecdsaWithSha256));
  return encode(tag.sequence, info, algorithm, encodeBits(sign('sha256', info, privateKey)));
}
