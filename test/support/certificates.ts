/**
 * Certificates of any shape for tests, good and bad: an authority that signs whatever it is told to.
 * `createTestMesh` is the short way to identity bundles that sidecars accept.
 */
import { KeyObject, randomBytes, webcrypto } from 'node:crypto';
import { x509 } from '../../certs/x509.ts';
import { encode, tag } from '../../kit/der.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { workloadName } from '../../mesh/identity.ts';

export interface AltName {
  readonly kind: 'uri' | 'dns';
  readonly value: string;
}

export interface CertificateShape {
  readonly names?: readonly AltName[];
  readonly subject?: string;
  readonly isCa?: boolean;
  /** Bits of `x509.KeyUsageFlags`; `null` leaves the extension out. */
  readonly usage?: number | null;
  readonly usageCritical?: boolean;
  readonly purposes?: readonly ('serverAuth' | 'clientAuth')[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly key?: KeyAlgorithmName;
  readonly extra?: readonly x509.Extension[];
}

export type KeyAlgorithmName = 'p256' | 'p384' | 'p521' | 'ed25519' | 'rsa1024' | 'rsa2048';

export interface Signed {
  readonly certificate: x509.X509Certificate;
  readonly pem: string;
  readonly keys: webcrypto.CryptoKeyPair;
  /** PKCS #8. */
  readonly keyPem: string;
}

const algorithms: Record<
  KeyAlgorithmName,
  webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams | { name: 'Ed25519' }
> = {
  p256: { name: 'ECDSA', namedCurve: 'P-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384' },
  p521: { name: 'ECDSA', namedCurve: 'P-521' },
  ed25519: { name: 'Ed25519' },
  rsa1024: rsa(1024),
  rsa2048: rsa(2048),
};

const purposeOids = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' };
/** Longer than the longest test. */
const lifetimeMs = 24 * 3_600_000;

export async function generateKeys(name: KeyAlgorithmName = 'p256'): Promise<webcrypto.CryptoKeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithms[name] as webcrypto.EcKeyGenParams, true, [
    'sign',
    'verify',
  ]);
  return keys as webcrypto.CryptoKeyPair;
}

/** A certificate signed by `issuer`, or by itself where there is none. */
export async function signCertificate(shape: CertificateShape, issuer?: Signed): Promise<Signed> {
  const keys = await generateKeys(shape.key);
  const signer = issuer?.keys ?? keys;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    subject: shape.subject ?? '',
    issuer: issuer?.certificate.subject ?? shape.subject ?? '',
    notBefore: shape.notBefore ?? new Date(Date.now() - 60_000),
    notAfter: shape.notAfter ?? new Date(Date.now() + lifetimeMs),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: { name: signer.privateKey.algorithm.name, hash: 'SHA-256' } as webcrypto.EcdsaParams,
    extensions: await extensionsOf(shape, keys, issuer),
  });
  return { certificate, pem: certificate.toString('pem'), keys, keyPem: exportKey(keys.privateKey) };
}

/** A root of its own, with an intermediate below it. */
export async function createAuthority(name: string): Promise<{ root: Signed; intermediate: Signed }> {
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const root = await signCertificate({ subject: `CN=${name} root`, isCa: true, usage });
  const intermediate = await signCertificate({ subject: `CN=${name} ca`, isCa: true, usage }, root);
  return { root, intermediate };
}

export interface TestMesh {
  readonly root: Signed;
  readonly intermediate: Signed;
  /** PEM. */
  readonly trustBundle: string;
  /** A bundle for a leaf of any shape; by default a good one for `account`. */
  bundle(account: string, shape?: CertificateShape): Promise<IdentityBundle>;
  /** The leaf alone. */
  certificate(account: string): Promise<x509.X509Certificate>;
  nameOf(account: string): string;
}

/** A trust domain whose workloads live in namespace `test`. */
export async function createTestMesh(trustDomain = 'mesh.test'): Promise<TestMesh> {
  const { root, intermediate } = await createAuthority(trustDomain);
  const nameOf = (account: string) => workloadName(trustDomain, 'test', account);
  return {
    root,
    intermediate,
    trustBundle: root.pem,
    nameOf,
    async certificate(account) {
      const { certificate } = await signCertificate(
        { names: [{ kind: 'uri', value: nameOf(account) }] },
        intermediate,
      );
      return certificate;
    },
    async bundle(account, shape = {}) {
      const names = [{ kind: 'uri', value: nameOf(account) } as const];
      const leaf = await signCertificate({ names, ...shape }, intermediate);
      return bundleOf(leaf, [intermediate], root.pem);
    },
  };
}

export function bundleOf(leaf: Signed, chain: readonly Signed[], trustBundle: string): IdentityBundle {
  const certificateChain = [leaf, ...chain].map(({ pem }) => `${pem}\n`).join('');
  return { privateKey: leaf.keyPem, certificateChain, trustBundle };
}

/** The SubjectAltName extension, written byte by byte so that it can also be wrong. */
export function altNames(names: readonly AltName[], critical = true): x509.Extension {
  const parts = names.map(({ kind, value }) =>
    encode(kind === 'uri' ? 0x86 : 0x82, Buffer.from(value, 'latin1')),
  );
  return new x509.Extension('2.5.29.17', critical, new Uint8Array(encode(tag.sequence, ...parts)));
}

async function extensionsOf(
  shape: CertificateShape,
  keys: webcrypto.CryptoKeyPair,
  issuer: Signed | undefined,
): Promise<x509.Extension[]> {
  const usage = shape.usage === undefined ? x509.KeyUsageFlags.digitalSignature : shape.usage;
  const purposes = shape.purposes ?? (shape.isCa ? [] : (['serverAuth', 'clientAuth'] as const));
  return [
    ...(shape.isCa === undefined ? [] : [new x509.BasicConstraintsExtension(shape.isCa, undefined, true)]),
    ...(usage === null ? [] : [new x509.KeyUsagesExtension(usage, shape.usageCritical ?? true)]),
    ...(purposes.length === 0
      ? []
      : [new x509.ExtendedKeyUsageExtension(purposes.map((purpose) => purposeOids[purpose]))]),
    ...(shape.names === undefined ? [] : [altNames(shape.names)]),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    await x509.AuthorityKeyIdentifierExtension.create((issuer?.keys ?? keys).publicKey),
    ...(shape.extra ?? []),
  ];
}

function exportKey(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}

function rsa(modulusLength: number): webcrypto.RsaHashedKeyGenParams {
  return {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
}
