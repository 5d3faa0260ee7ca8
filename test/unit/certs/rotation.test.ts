import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeCaState } from '../../../certs/ca-state.ts';
import { checkIssued, readCertificates } from '../../../certs/client/check-issued.ts';
import { createKeyPair } from '../../../certs/client/key-pair.ts';
import type { IssuedCertificate } from '../../../proto/certificates-wire.ts';
import { testAuthority } from '../../support/test-authority.ts';

const lifetimes = { rootMs: 60_000, issuerMs: 30_000, leafMs: 10_000, graceMs: 20_000 };
const options = { lifetimes, allowShortLifetimes: true };
const name = 'spiffe://mesh.test/ns/shop/sa/orders';

interface Holder {
  readonly issued: IssuedCertificate;
  readonly privateKey: string;
}

describe('rotation', () => {
  it('over ten lives of a root, every leaf is accepted by whoever renewed at half-life', async (t) => {
    const { authority, clock, storage } = await testAuthority(t, options);
    const bundles = new Set<string>();
    const issuers = new Set<string>();
    let holders: Holder[] = [];
    for (let second = 0; second < 600; second++) {
      await authority.refresh();
      const { privateKey, signingRequest: csr } = createKeyPair();
      const isPlaced = () => true;
      const issued = await authority.issueWorkload({
        node: 'n1',
        namespace: 'shop',
        account: 'orders',
        csr,
        isPlaced,
      });
      assert.ok(issued.notAfterMs > clock.wallMs() + lifetimes.leafMs - 1_000, 'no leaf is cut short');
      bundles.add(issued.trustBundle);
      issuers.add(readCertificates(issued.certificateChain)[1]?.serialNumber ?? '');
      // Peers renew within six seconds of ten, so bundles are at most that old.
      holders = [...holders, { issued, privateKey }].slice(-6);
      const oldest = holders[0] as Holder;
      const nowMs = clock.wallMs();
      for (const [holder, believer] of [
        [oldest, holders.at(-1) as Holder],
        [holders.at(-1) as Holder, oldest],
      ] as const) {
        const seen = { ...holder.issued, trustBundle: believer.issued.trustBundle };
        checkIssued(seen, { name, trustDomain: 'mesh.test', privateKey: holder.privateKey, nowMs });
      }
      clock.advance(1_000);
    }
    assert.ok(bundles.size >= 20, `${bundles.size} bundles`);
    assert.ok(issuers.size >= 20, `${issuers.size} issuers`);
    const state = decodeCaState(storage.records.get('ca')?.bytes ?? Buffer.alloc(0));
    assert.ok(state.roots.length <= 3 && state.issuers.length === 1);
    assert.equal(state.roots.filter(({ key }) => key !== undefined).length <= 2, true);
  });

  it('announces the next root before it signs, and tells subscribers', async (t) => {
    const { authority, clock } = await testAuthority(t, options);
    const first = authority.rootSha256;
    const told: number[] = [];
    authority.onTrustBundle((bundle) => told.push(readCertificates(bundle).length));
    clock.advance(31_000);
    await authority.refresh();
    assert.deepEqual([told.at(-1), authority.rootSha256.equals(first)], [2, true]);
    clock.advance(20_000);
    await authority.refresh();
    assert.equal(authority.rootSha256.equals(first), false);
    clock.advance(31_000);
    await authority.refresh();
    assert.equal(
      readCertificates(authority.trustBundle).some(
        (root) => sha(root.fingerprint256) === first.toString('hex'),
      ),
      false,
    );
  });

  it('catches up after a long absence', async (t) => {
    const { authority, clock, storage } = await testAuthority(t, options);
    const before = authority.trustBundle;
    clock.advance(600_000);
    const again = await testAuthority(t, { ...options, records: storage, fake: clock });
    const { signingRequest: csr } = createKeyPair();
    const issued = await again.authority.issueNode({ node: 'n1', csr, because: 'renewal' });
    assert.ok(issued.notAfterMs > clock.wallMs());
    assert.notEqual(again.authority.trustBundle, before);
  });

  it('by one pilot reaches the other at its next look', async (t) => {
    const one = await testAuthority(t, options);
    const other = await testAuthority(t, { ...options, records: one.storage, fake: one.clock });
    one.clock.advance(31_000);
    await Promise.all([one.authority.refresh(), other.authority.refresh()]);
    assert.equal(one.authority.trustBundle, other.authority.trustBundle);
    assert.equal(readCertificates(other.authority.trustBundle).length, 2);
  });
});

function sha(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}
