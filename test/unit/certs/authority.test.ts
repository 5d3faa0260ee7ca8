import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import forge from 'node-forge';
import { checkIssued, readCertificates } from '../../../certs/client/check-issued.ts';
import { createKeyPair } from '../../../certs/client/key-pair.ts';
import { readSvid } from '../../../mesh/svid.ts';
import type { IssuedCertificate } from '../../../proto/certificates-wire.ts';
import { runProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { testAuthority } from '../../support/test-authority.ts';

const hourMs = 3_600_000;
const orders = { node: 'n1', namespace: 'shop', account: 'orders', isPlaced: () => true };

function leafOf(issued: IssuedCertificate): X509Certificate {
  return new X509Certificate(issued.certificateChain);
}

function membersOf(node: forge.asn1.Asn1 | undefined): forge.asn1.Asn1[] {
  return node?.value as forge.asn1.Asn1[];
}

describe('a workload certificate', () => {
  it('holds for 72 hours from its issue, begins a minute before, and says so exactly', async (t) => {
    const { authority, clock } = await testAuthority(t);
    const { privateKey, signingRequest: csr } = createKeyPair();
    const issued = await authority.issueWorkload({ ...orders, csr });
    const svid = readSvid(leafOf(issued).raw);
    const nowMs = clock.wallMs();
    assert.equal(svid.name, 'spiffe://mesh.test/ns/shop/sa/orders');
    assert.equal(issued.issuedMs, nowMs);
    assert.equal(issued.notAfterMs, Math.floor((nowMs + 72 * hourMs) / 1_000) * 1_000);
    assert.equal(svid.notAfterMs, issued.notAfterMs);
    assert.equal(svid.notBeforeMs, Math.floor((nowMs - 60_000) / 1_000) * 1_000);
    checkIssued(issued, { name: svid.name, trustDomain: 'mesh.test', privateKey, nowMs });
  });

  it('is what openssl accepts under its strictest rules, as server and as client', async (t) => {
    const { authority } = await testAuthority(t);
    const folder = tempFolder(t);
    const issued = await authority.issueWorkload({ ...orders, csr: createKeyPair().signingRequest });
    const [leaf, issuer] = readCertificates(issued.certificateChain);
    const file = (name: string, pem: string | undefined) => {
      writeFileSync(join(folder, name), pem ?? '');
      return join(folder, name);
    };
    const root = file('root.pem', issued.trustBundle);
    const untrusted = file('issuer.pem', issuer?.toString());
    const subject = file('leaf.pem', leaf?.toString());
    for (const purpose of ['sslserver', 'sslclient']) {
      const args = ['verify', '-x509_strict', '-check_ss_sig', '-purpose', purpose];
      const { code, stdout, stderr } = await runProcess(t, {
        command: 'openssl',
        args: [...args, '-CAfile', root, '-untrusted', untrusted, subject],
      });
      assert.equal(code, 0, `${stdout}${stderr}`);
    }
    const text = await runProcess(t, {
      command: 'openssl',
      args: ['x509', '-in', subject, '-noout', '-text'],
    });
    assert.match(text.stdout, /Subject: \n/);
    assert.match(
      text.stdout,
      /Subject Alternative Name: critical\s+URI:spiffe:\/\/mesh.test\/ns\/shop\/sa\/orders/,
    );
    assert.match(text.stdout, /Key Usage: critical\s+Digital Signature\n/);
    assert.match(text.stdout, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(text.stdout, /Basic Constraints: critical\s+CA:FALSE/);
    assert.match(text.stdout, /ASN1 OID: prime256v1/);
  });

  it('has the structure that another ASN.1 reader expects', async (t) => {
    const { authority } = await testAuthority(t);
    const issued = await authority.issueWorkload({ ...orders, csr: createKeyPair().signingRequest });
    const tree = forge.asn1.fromDer(forge.util.createBuffer(leafOf(issued).raw.toString('binary')), true);
    const body = membersOf(membersOf(tree)[0]);
    const extensions = membersOf(membersOf(body.at(-1))[0]).map((one) => {
      const parts = membersOf(one);
      return { oid: forge.asn1.derToOid(parts[0]?.value as string), critical: parts.length === 3 };
    });
    assert.deepEqual(
      extensions.filter(({ critical }) => critical).map(({ oid }) => oid),
      ['2.5.29.19', '2.5.29.15', '2.5.29.17'],
    );
    assert.equal(extensions.length, 6);
    const serial = Buffer.from(body[1]?.value as string, 'binary');
    assert.ok(serial.length >= 16 && serial.length <= 20 && (serial[0] ?? 0xff) < 0x80);
    assert.deepEqual(body[5]?.value, [], 'the subject is empty');
  });

  it('has a serial of its own', async (t) => {
    const { authority } = await testAuthority(t);
    const { signingRequest: csr } = createKeyPair();
    const serials = new Set<string>();
    for (let i = 0; i < 20; i++)
      serials.add(leafOf(await authority.issueWorkload({ ...orders, csr })).serialNumber);
    assert.equal(serials.size, 20);
  });

  it('is refused where the workload is not placed, and for the name of a pilot', async (t) => {
    const { authority } = await testAuthority(t);
    const { signingRequest: csr } = createKeyPair();
    const asked: string[] = [];
    const isPlaced = (...at: string[]) => asked.push(at.join('/')) === 0;
    await assert.rejects(authority.issueWorkload({ ...orders, csr, isPlaced }), {
      code: 'denied',
      message:
        "node 'n1' gets no certificate for spiffe://mesh.test/ns/shop/sa/orders: it is not placed there",
    });
    assert.deepEqual(asked, ['n1/shop/orders']);
    const pilot = { ...orders, namespace: 'heddle', account: 'pilot', csr };
    await assert.rejects(authority.issueWorkload(pilot), { code: 'denied' });
    for (const account of ['', '..', 'a/b', 'a%2f'])
      await assert.rejects(authority.issueWorkload({ ...orders, account, csr }), { code: 'invalid' });
  });

  it('is refused for a key that belongs to another', async (t) => {
    const { authority } = await testAuthority(t);
    const { signingRequest: csr } = createKeyPair();
    await authority.issueWorkload({ ...orders, csr });
    await authority.issueWorkload({ ...orders, csr });
    await assert.rejects(authority.issueNode({ node: 'n1', csr, because: 'renewal' }), {
      code: 'denied',
      message: /its key is that of spiffe:.*orders/,
    });
  });

  it('leaves a line in the log with who, serial and end, and no key', async (t) => {
    const { authority, log } = await testAuthority(t);
    const issued = await authority.issueWorkload({ ...orders, csr: createKeyPair().signingRequest });
    const line = log.lines.find(({ message }) => message === 'certificate issued');
    assert.partialDeepStrictEqual(line?.fields, {
      name: 'spiffe://mesh.test/ns/shop/sa/orders',
      node: 'n1',
      serial: leafOf(issued).serialNumber.toLowerCase(),
      notAfter: new Date(issued.notAfterMs).toISOString(),
    });
  });
});

describe('lifetimes', () => {
  it('under a minute must be meant', async (t) => {
    const lifetimes = { leafMs: 6_000 };
    await assert.rejects(testAuthority(t, { lifetimes }), { message: /allow-short-lifetimes/ });
    const { authority, clock } = await testAuthority(t, { lifetimes, allowShortLifetimes: true });
    const issued = await authority.issueWorkload({ ...orders, csr: createKeyPair().signingRequest });
    assert.ok(issued.notAfterMs <= clock.wallMs() + 6_000);
  });

  it('that do not fit each other are refused', async (t) => {
    for (const lifetimes of [
      { leafMs: 400 * 24 * hourMs },
      { issuerMs: hourMs },
      { rootMs: hourMs },
      { leafMs: Number.NaN },
    ])
      await assert.rejects(testAuthority(t, { lifetimes }), { code: 'invalid' });
  });
});

describe('the authority', () => {
  it('is the same after a restart, and for every pilot', async (t) => {
    const first = await testAuthority(t);
    const again = await testAuthority(t, { records: first.storage, fake: first.clock });
    assert.equal(again.authority.trustBundle, first.authority.trustBundle);
    const racers = await testAuthority(t);
    const records = racers.storage;
    records.records.clear();
    const pilots = await Promise.all([1, 2, 3].map(() => testAuthority(t, { records })));
    assert.equal(new Set(pilots.map(({ authority }) => authority.trustBundle)).size, 1);
  });

  it('keeps its private keys sealed, and does not open with another secret', async (t) => {
    const { storage, clock } = await testAuthority(t);
    const stored = Buffer.from(storage.records.get('ca')?.bytes ?? []).toString();
    assert.doesNotMatch(stored, /PRIVATE KEY/);
    const secret = Buffer.from('another secret, also long enough.');
    await assert.rejects(testAuthority(t, { records: storage, fake: clock, secret }), {
      code: 'invalid',
      message: /does not open: sealed under another secret/,
    });
  });

  it('does not serve another trust domain, nor read broken state', async (t) => {
    const { storage } = await testAuthority(t);
    const trustDomain = 'other.test';
    await assert.rejects(testAuthority(t, { records: storage, trustDomain }), {
      message: "the stored CA is of trust domain 'mesh.test', not 'other.test'",
    });
    storage.records.set('ca', { bytes: Buffer.from('{"format":2}'), revision: 1 });
    await assert.rejects(testAuthority(t, { records: storage }), { code: 'invalid', message: /\$\.format/ });
    storage.records.set('ca', { bytes: Buffer.from('{'), revision: 1 });
    await assert.rejects(testAuthority(t, { records: storage }), { code: 'invalid', message: /no JSON/ });
    await assert.rejects(testAuthority(t, { trustDomain: 'Mesh Test' }), { code: 'invalid' });
  });

  it('gives a pilot a chain that ends with the root', async (t) => {
    const { authority, clock } = await testAuthority(t);
    const { privateKey, signingRequest } = createKeyPair();
    const issued = await authority.issuePilot(signingRequest);
    const name = 'spiffe://mesh.test/ns/heddle/sa/pilot';
    checkIssued(issued, { name, trustDomain: 'mesh.test', privateKey, nowMs: clock.wallMs() });
    const root = readCertificates(issued.certificateChain).at(-1);
    assert.equal(
      root?.fingerprint256.replaceAll(':', '').toLowerCase(),
      authority.rootSha256.toString('hex'),
    );
  });
});
