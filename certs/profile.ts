/**
 * What our certificates look like: built from a template and a public key, never from a request.
 * X509-SVID §4 for leaves; subject and authority key identifiers so that strict verifiers accept the chain.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { x509 } from './x509.ts';

/** How far back a certificate begins, for clocks that are behind ours. */
export const backdateMs = 60_000;

export interface Validity {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Milliseconds since 1970; cut to whole seconds. */
  readonly notAfterMs: number;
}

/** An authority that can sign: a root or an intermediate. */
export interface Signer {
  /** PEM. */
  readonly certificate: string;
  /** PKCS #8, PEM. */
  readonly privateKey: string;
}

export interface SignedLeaf {
  /** PEM. */
  readonly certificate: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly notAfterMs: number;
}

/** A root of its own, path length 1. */
export async function createRoot(trustDomain: string, validity: Validity): Promise<Signer> {
  const privateKey = createSigningKey();
  const subject = authorityName(trustDomain, 'root');
  const certificate = await signAuthority({
    privateKey,
    subject,
    validity,
    pathLength: 1,
    issuer: undefined,
  });
  return { certificate, privateKey };
}

/** An intermediate under `root` that signs leaves only. */
export async function createIntermediate(
  trustDomain: string,
  root: Signer,
  validity: Validity,
): Promise<Signer> {
  const privateKey = createSigningKey();
  const subject = authorityName(trustDomain, 'issuer');
  const certificate = await signAuthority({ privateKey, subject, validity, pathLength: 0, issuer: root });
  return { certificate, privateKey };
}

/** A leaf that stands for `name`, both as server and as client. */
export async function signLeaf(
  name: string,
  publicKey: Uint8Array,
  issuer: Signer,
  validity: Validity,
): Promise<SignedLeaf> {
  const serial = randomSerial();
  const key = new x509.PublicKey(new Uint8Array(publicKey));
  const issuerCertificate = new x509.X509Certificate(issuer.certificate);
  const notAfterMs = wholeSeconds(validity.notAfterMs);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: '',
    issuer: issuerCertificate.subject,
    notBefore: new Date(wholeSeconds(validity.nowMs - backdateMs)),
    notAfter: new Date(notAfterMs),
    publicKey: key,
    signingKey: await importKey(issuer.privateKey),
    signingAlgorithm: ecdsa,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth]),
      // Critical, because the subject is empty (RFC 5280 §4.2.1.6).
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: name }], true),
      await x509.SubjectKeyIdentifierExtension.create(key),
      await x509.AuthorityKeyIdentifierExtension.create(issuerCertificate.publicKey),
    ],
  });
  return { certificate: pemOf(certificate), serial, notAfterMs };
}

const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

interface AuthoritySpec {
  readonly privateKey: string;
  readonly subject: string;
  readonly validity: Validity;
  /** How many authorities may stand below. */
  readonly pathLength: number;
  /** Undefined signs itself. */
  readonly issuer: Signer | undefined;
}

async function signAuthority(spec: AuthoritySpec): Promise<string> {
  const { issuer } = spec;
  const issuerCertificate = issuer && new x509.X509Certificate(issuer.certificate);
  const publicKey = publicKeyOf(spec.privateKey);
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: spec.subject,
    issuer: issuerCertificate?.subject ?? spec.subject,
    notBefore: new Date(wholeSeconds(spec.validity.nowMs - backdateMs)),
    notAfter: new Date(wholeSeconds(spec.validity.notAfterMs)),
    publicKey,
    signingKey: await importKey(issuer?.privateKey ?? spec.privateKey),
    signingAlgorithm: ecdsa,
    extensions: [
      new x509.BasicConstraintsExtension(true, spec.pathLength, true),
      new x509.KeyUsagesExtension(usage, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuerCertificate?.publicKey ?? publicKey),
    ],
  });
  return pemOf(certificate);
}

/** Differs from one authority to the next, so that chains are found by name as well as by key identifier. */
function authorityName(trustDomain: string, role: string): string {
  return `O=${trustDomain}, CN=Heddle ${role} ${randomBytes(4).toString('hex')}`;
}

function createSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function publicKeyOf(privateKey: string): InstanceType<typeof x509.PublicKey> {
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return new x509.PublicKey(new Uint8Array(der));
}

async function importKey(privateKey: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(privateKey).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ecdsa, false, ['sign']);
}

/** 128 random bits below a first byte that keeps the number positive and its encoding short. */
function randomSerial(): string {
  const first = 1 + (randomBytes(1).readUInt8() % 0x7f);
  return Buffer.concat([Buffer.from([first]), randomBytes(16)]).toString('hex');
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000;
}

function pemOf(certificate: InstanceType<typeof x509.X509Certificate>): string {
  return `${certificate.toString('pem')}\n`;
}
