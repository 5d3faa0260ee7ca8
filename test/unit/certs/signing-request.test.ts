import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createKeyPair, signingRequestOf } from '../../../certs/client/key-pair.ts';
import { readSigningRequest } from '../../../certs/signing-request.ts';
import { x509 } from '../../../certs/x509.ts';
import { runProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** A request made by openssl with a key of that kind. */
async function opensslRequest(
  t: TestContext,
  key: readonly string[],
  extra: readonly string[] = [],
): Promise<Buffer> {
  const folder = tempFolder(t);
  const out = join(folder, 'request.der');
  const args = ['req', '-new', '-nodes', '-keyout', join(folder, 'key.pem'), '-newkey', ...key, ...extra];
  const all = [...args, '-subj', '/CN=admin', '-outform', 'DER', '-out', out];
  const { code, stderr } = await runProcess(t, { command: 'openssl', args: all });
  assert.equal(code, 0, stderr);
  return readFileSync(out);
}

describe('a signing request of ours', () => {
  it('is read, by us and by others, and asks for nothing but its key', async (t) => {
    const { privateKey, signingRequest } = createKeyPair();
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    assert.deepEqual(readSigningRequest(signingRequest).publicKey, spki);
    const other = new x509.Pkcs10CertificateRequest(signingRequest);
    assert.deepEqual([other.subject, other.attributes.length, await other.verify()], ['', 0, true]);
    const file = join(tempFolder(t), 'request.der');
    writeFileSync(file, signingRequest);
    const args = ['req', '-inform', 'DER', '-in', file, '-noout', '-verify'];
    const { code, stderr, stdout } = await runProcess(t, { command: 'openssl', args });
    assert.equal(code, 0, stderr);
    assert.match(`${stdout}${stderr}`, /verif\w+ OK/i);
    assert.deepEqual(readSigningRequest(signingRequestOf(privateKey)).publicKey, spki);
  });
});

describe('a signing request of a stranger', () => {
  it('gives its key, whatever else it asks for', async (t) => {
    const wishes = [
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-addext',
      'keyUsage=keyCertSign',
      '-addext',
      'subjectAltName=URI:spiffe://mesh.test/ns/x/sa/admin,DNS:*,IP:10.0.0.1,email:a@b',
    ];
    const request = await opensslRequest(t, ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], wishes);
    assert.deepEqual(Object.keys(readSigningRequest(request)), ['publicKey', 'fingerprint']);
  });

  const kinds: readonly [string, readonly string[], RegExp][] = [
    ['RSA', ['rsa:2048'], /signed by algorithm|key is of kind/],
    ['Ed25519', ['ed25519'], /signed by algorithm/],
    ['P-384', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], /curve 1.3.132.0.34, expected P-256/],
    ['P-192', ['ec', '-pkeyopt', 'ec_paramgen_curve:prime192v1'], /curve/],
    [
      'explicit parameters',
      ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-pkeyopt', 'ec_param_enc:explicit'],
      /signing request refused/,
    ],
  ];
  for (const [what, key, why] of kinds) {
    it(`is refused with a key of ${what}`, async (t) => {
      const request = await opensslRequest(t, key);
      assert.throws(() => readSigningRequest(request), { code: 'invalid', message: why });
    });
  }

  it('is refused when signed by another key, too long, or garbage', () => {
    const ours = createKeyPair().signingRequest;
    const other = createKeyPair().signingRequest;
    const swapped = Buffer.from(ours);
    const key = Buffer.from(readSigningRequest(ours).publicKey);
    swapped.set(readSigningRequest(other).publicKey, ours.indexOf(key));
    assert.throws(() => readSigningRequest(swapped), {
      code: 'invalid',
      message: /signature is not by the key/,
    });
    const huge = Buffer.alloc(1_000_000, 0x30);
    assert.throws(() => readSigningRequest(huge), { code: 'invalid', message: /1000000 bytes/ });
    for (const bytes of ['', '30', '3000', 'ff'.repeat(100)])
      assert.throws(() => readSigningRequest(Buffer.from(bytes, 'hex')), { code: 'invalid' });
  });

  it('is refused when its point is not on the curve', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const request = signingRequestOf(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const point = Buffer.from(readSigningRequest(request).publicKey.subarray(-64));
    const bent = Buffer.from(request);
    bent.fill(7, request.indexOf(point), request.indexOf(point) + 64);
    assert.throws(() => readSigningRequest(bent), { code: 'invalid' });
  });
});
