/**
 * What a certificate must be to stand for an identity: the X509-SVID standard §4 and §5, read from the
 * certificate's own bytes. Whether it chains to a trusted root is TLS's part, done before this.
 * Subject alternative names are never taken from text: a DNS name may hold `, URI:spiffe://…` (CVE-2021-44532).
 */
import {
  contextTag,
  DerReader,
  readBitString,
  readBoolean,
  readOid,
  readTime,
  readUnsigned,
  readWhole,
  tag,
} from '../kit/der.ts';
import { MeshError, messageOf, type Origin } from '../kit/errors.ts';
import { type Identity, parseIdentity } from './identity.ts';

export interface Svid {
  /** The SPIFFE name as the certificate has it. */
  readonly name: string;
  readonly identity: Identity;
  /** Hexadecimal, without leading zeros. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  /** Milliseconds since 1970; from then on the certificate is worth nothing. */
  readonly notAfterMs: number;
}

export interface PeerExpectation {
  readonly trustDomain: string;
  /** Who may be there: one name, several, or anybody of that kind in the trust domain. */
  readonly names: string | ReadonlySet<string> | 'any_workload' | 'any_node';
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Whose fault a refusal is. */
  readonly origin: Origin;
}

/**
 * The identity in a peer's certificate (DER) whose chain TLS has verified.
 * Throws `identity_refused` saying what is wrong with it; nothing of a request has been sent then.
 */
export function verifyPeer(certificate: Uint8Array, expected: PeerExpectation): Svid {
  const refuse = (why: string, cause?: unknown) =>
    new MeshError('identity_refused', `peer certificate refused: ${why}`, {
      origin: expected.origin,
      retry: 'always',
      cause,
    });
  let svid: Svid;
  try {
    svid = readSvid(certificate);
  } catch (cause) {
    throw refuse(messageOf(cause), cause);
  }
  const { trustDomain } = svid.identity;
  if (trustDomain !== expected.trustDomain)
    throw refuse(`it is of trust domain '${trustDomain}', not '${expected.trustDomain}'`);
  if (expected.nowMs >= svid.notAfterMs)
    throw refuse(`it ended at ${new Date(svid.notAfterMs).toISOString()}`);
  if (!isExpected(svid, expected.names))
    throw refuse(`it is ${svid.name}, expected ${nameText(expected.names)}`);
  return svid;
}

/** Reads and checks the profile of a leaf certificate. Throws `malformed_message` or `identity_refused`. */
export function readSvid(certificate: Uint8Array): Svid {
  const fields = readCertificate(certificate);
  const { extensions } = fields;
  checkKey(fields.publicKey);
  checkConstraints(extensions);
  checkUsage(extensions);
  const name = readUriName(extensions);
  const identity = parseIdentity(name);
  if (identity === undefined) throw broken(`'${name}' is no name of a workload or node`);
  return {
    name,
    identity,
    serial: fields.serial,
    notBeforeMs: fields.notBeforeMs,
    notAfterMs: fields.notAfterMs,
  };
}

interface CertificateFields {
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly publicKey: DerReader;
  readonly extensions: ReadonlyMap<string, Extension>;
}

interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

const oid = {
  subjectAltName: '2.5.29.17',
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ecKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  p384: '1.3.132.0.34',
  ed25519: '1.3.101.112',
  rsaKey: '1.2.840.113549.1.1.1',
} as const;

/** Largest certificate read, in bytes; ours have about 600. */
const maxCertificateBytes = 16 * 1024;
const maxExtensions = 32;
const minRsaBits = 2048;

/** RFC 5280 §4.1. */
function readCertificate(bytes: Uint8Array): CertificateFields {
  if (bytes.length > maxCertificateBytes)
    throw broken(`it has ${bytes.length} bytes, more than ${maxCertificateBytes}`);
  const body = readWhole(bytes, tag.sequence).enter(tag.sequence);
  const version = body.optional(contextTag(0));
  if (version === undefined) throw broken('it is older than X.509 version 3');
  const serial = Buffer.from(readUnsigned(body.expect(tag.integer).content)).toString('hex');
  body.expect(tag.sequence); // signature algorithm: checked by TLS
  body.expect(tag.sequence); // issuer: checked by TLS
  const validity = body.enter(tag.sequence);
  const notBeforeMs = readTime(validity.next());
  const notAfterMs = readTime(validity.next());
  validity.end();
  body.expect(tag.sequence); // subject: says nothing about identity
  const publicKey = body.enter(tag.sequence);
  body.optional(0x81);
  body.optional(0x82);
  const extensions = readExtensions(body);
  body.end();
  return { serial, notBeforeMs, notAfterMs, publicKey, extensions };
}

function readExtensions(body: DerReader): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>();
  if (body.isAtEnd) return found;
  const wrapper = body.enter(contextTag(3));
  const list = wrapper.enter(tag.sequence);
  wrapper.end();
  while (!list.isAtEnd) {
    const extension = list.enter(tag.sequence);
    const id = readOid(extension.expect(tag.oid).content);
    const critical = extension.optional(tag.boolean);
    const value = extension.expect(tag.octetString).content;
    extension.end();
    if (found.has(id)) throw broken(`extension ${id} stands twice`);
    if (found.size === maxExtensions) throw broken(`it has more than ${maxExtensions} extensions`);
    found.set(id, { critical: critical !== undefined && readBoolean(critical.content), value });
  }
  return found;
}

/** The only URI among the subject alternative names (X509-SVID §2). */
function readUriName(extensions: ReadonlyMap<string, Extension>): string {
  const extension = extensions.get(oid.subjectAltName);
  if (extension === undefined) throw broken('it has no subject alternative name');
  const uris: string[] = [];
  const names = readWhole(extension.value, tag.sequence);
  while (!names.isAtEnd) {
    const name = names.next();
    if (name.tag === uriNameTag) uris.push(Buffer.from(name.content).toString('latin1'));
  }
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1) throw broken(`it has ${uris.length} URI names instead of one`);
  return uri;
}

/** `uniformResourceIdentifier [6]` of GeneralName, RFC 5280 §4.2.1.6. */
const uriNameTag = 0x86;

/** A certificate that may sign others never stands for a peer (X509-SVID §4.1). */
function checkConstraints(extensions: ReadonlyMap<string, Extension>): void {
  const extension = extensions.get(oid.basicConstraints);
  if (extension === undefined) return;
  const isCa = readWhole(extension.value, tag.sequence).optional(tag.boolean);
  if (isCa !== undefined && readBoolean(isCa.content)) throw broken('it is a certificate of an authority');
}

/** X509-SVID §4.3 and §4.4. */
function checkUsage(extensions: ReadonlyMap<string, Extension>): void {
  const keyUsage = extensions.get(oid.keyUsage);
  if (keyUsage?.critical !== true) throw broken('it has no critical key usage');
  const outer = new DerReader(keyUsage.value);
  const [bits = 0] = readBitString(outer.expect(tag.bitString).content).bytes;
  outer.end();
  if ((bits & 0x80) === 0) throw broken('its key usage lacks digitalSignature');
  if ((bits & 0x06) !== 0) throw broken('its key usage allows signing certificates');
  const extended = extensions.get(oid.extendedKeyUsage);
  if (extended === undefined) return;
  const purposes = new Set<string>();
  const list = readWhole(extended.value, tag.sequence);
  while (!list.isAtEnd) purposes.add(readOid(list.expect(tag.oid).content));
  if (!purposes.has(oid.serverAuth)) throw broken('its extended key usage lacks serverAuth');
  if (!purposes.has(oid.clientAuth)) throw broken('its extended key usage lacks clientAuth');
}

function checkKey(publicKey: DerReader): void {
  const algorithm = publicKey.enter(tag.sequence);
  const kind = readOid(algorithm.expect(tag.oid).content);
  if (kind === oid.ed25519) return;
  if (kind === oid.ecKey) {
    const curve = readOid(algorithm.expect(tag.oid).content);
    if (curve !== oid.p256 && curve !== oid.p384) throw broken(`its key is on curve ${curve}`);
    return;
  }
  if (kind !== oid.rsaKey) throw broken(`its key is of kind ${kind}`);
  const bits = readBitString(publicKey.expect(tag.bitString).content);
  const modulus = readUnsigned(readWhole(bits.bytes, tag.sequence).expect(tag.integer).content);
  const size = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  if (size < minRsaBits) throw broken(`its RSA key has ${size} bits`);
}

function isExpected(svid: Svid, names: PeerExpectation['names']): boolean {
  if (names === 'any_workload') return svid.identity.kind === 'workload';
  if (names === 'any_node') return svid.identity.kind === 'node';
  return typeof names === 'string' ? names === svid.name : names.has(svid.name);
}

function nameText(names: PeerExpectation['names']): string {
  if (typeof names !== 'string') return names.size === 0 ? 'nobody' : [...names].slice(0, 5).join(' or ');
  if (names === 'any_workload') return 'a workload';
  return names === 'any_node' ? 'a node' : names;
}

function broken(why: string): MeshError {
  return new MeshError('identity_refused', why, { origin: 'downstream' });
}
