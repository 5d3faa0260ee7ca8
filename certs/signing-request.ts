/**
 * Reads a signing request (PKCS #10, RFC 2986) from a stranger. Only its public key is taken: names, extensions and
 * everything else it may ask for do not matter, because the certificate is built from what we know of the caller.
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import {
  contextTag,
  type DerReader,
  type DerValue,
  readBitString,
  readOid,
  readUnsigned,
  readWhole,
  tag,
} from '../kit/der.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import { ecdsaWithSha256 } from './client/key-pair.ts';

export interface RequestedKey {
  /** SubjectPublicKeyInfo, DER: an ECDSA P-256 key whose private half signed the request. */
  readonly publicKey: Buffer;
  /** SHA-256 of `publicKey`, hexadecimal. */
  readonly fingerprint: string;
}

/** Ours have about 200 bytes. */
const maxRequestBytes = 16 * 1024;

/** Throws `invalid` saying what is wrong. */
export function readSigningRequest(request: Uint8Array): RequestedKey {
  try {
    if (request.length > maxRequestBytes)
      throw new Error(`it has ${request.length} bytes, more than ${maxRequestBytes}`);
    return readRequest(request);
  } catch (cause) {
    throw new MeshError('invalid', `signing request refused: ${messageOf(cause)}`, {
      origin: 'downstream',
      cause,
    });
  }
}

function readRequest(request: Uint8Array): RequestedKey {
  const outer = readWhole(request, tag.sequence);
  const info = outer.expect(tag.sequence);
  const algorithm = outer.enter(tag.sequence);
  const signature = readBitString(outer.expect(tag.bitString).content);
  outer.end();
  const signedWith = readOid(algorithm.expect(tag.oid).content);
  if (signedWith !== ecdsaWithSha256) throw new Error(`it is signed by algorithm ${signedWith}`);
  algorithm.end();

  const key = readInfo(readWhole(info.whole, tag.sequence));
  const publicKey = readKey(key);
  const isSigned = verify('sha256', info.whole, publicKey, signature.bytes);
  if (!isSigned) throw new Error('its signature is not by the key that it asks for');
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return { publicKey: der, fingerprint: createHash('sha256').update(der).digest('hex') };
}

/** The key's own DER, from CertificationRequestInfo. */
function readInfo(info: DerReader): DerValue {
  const version = readUnsigned(info.expect(tag.integer).content);
  if (version.length !== 1 || version[0] !== 0) throw new Error('it has an unknown version');
  info.expect(tag.sequence); // subject
  const key = info.expect(tag.sequence);
  info.optional(contextTag(0)); // attributes
  info.end();
  return key;
}

const ecKey = '1.2.840.10045.2.1';
const p256 = '1.2.840.10045.3.1.7';

function readKey(key: DerValue): KeyObject {
  const algorithm = readWhole(key.whole, tag.sequence).enter(tag.sequence);
  const kind = readOid(algorithm.expect(tag.oid).content);
  if (kind !== ecKey) throw new Error(`its key is of kind ${kind}, expected ECDSA`);
  const curve = readOid(algorithm.expect(tag.oid).content);
  if (curve !== p256) throw new Error(`its key is on curve ${curve}, expected P-256`);
  return createPublicKey({ key: Buffer.from(key.whole), format: 'der', type: 'spki' });
}
