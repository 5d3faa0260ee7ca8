/** A root and two leaves, `a` (the caller) and `b` (the callee), as every peer and we ourselves use them. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const trustDomain = 'bench.mesh';
export const namespace = 'bench';

/** The SPIFFE name in the certificate of `a` or `b`. */
export function identityOf(account: 'a' | 'b'): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
}

/** Writes `ca`, `a` and `b` (`.crt`, `.key`; ECDSA P-256, two days) into `folder`. */
export function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = (name: string) =>
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`);
  newKey('ca');
  openssl(
    ...['req', '-x509', '-new', '-key', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=bench root'],
    ...['-addext', `subjectAltName=URI:spiffe://${trustDomain}`],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  );
  for (const account of ['a', 'b'] as const) {
    newKey(account);
    writeFileSync(
      join(folder, `${account}.ext`),
      [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        'extendedKeyUsage=serverAuth,clientAuth',
        'subjectKeyIdentifier=hash',
        'authorityKeyIdentifier=keyid',
        // The DNS name is for nginx, which cannot check a SPIFFE name.
        `subjectAltName=URI:${identityOf(account)},DNS:localhost`,
      ].join('\n'),
    );
    openssl('req', '-new', '-key', `${account}.key`, '-subj', `/CN=${account}`, '-out', `${account}.csr`);
    openssl(
      ...['x509', '-req', '-in', `${account}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '2', '-extfile', `${account}.ext`, '-out', `${account}.crt`],
    );
  }
}
