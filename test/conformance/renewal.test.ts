/** Certificates of six seconds, renewed by a real authority while callers come and go: nobody is refused. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { CertificateAuthority } from '../../certs/authority.ts';
import { createKeyPairKeeper, type KeyPairKeeper } from '../../certs/client/key-pair-keeper.ts';
import { systemClock } from '../../kit/clock.ts';
import { silentLog } from '../../kit/log.ts';
import { systemRandom } from '../../kit/random.ts';
import { createCredentials } from '../../sidecar/net/tls-credentials.ts';
import { defer } from '../support/cleanup.ts';
import { eventually, within } from '../support/eventually.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { testAuthority } from '../support/test-authority.ts';
import { ourClient, ourServer } from '../support/tls-bench.ts';

const renewals = 3;
const isPlaced = () => true;

function keep(t: TestContext, authority: CertificateAuthority, account: string): KeyPairKeeper {
  const keeper = createKeyPairKeeper({
    name: `spiffe://mesh.test/ns/shop/sa/${account}`,
    file: join(tempFolder(t), 'identity.json'),
    issue: (csr) => authority.issueWorkload({ node: 'n1', namespace: 'shop', account, csr, isPlaced }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  defer(t, () => keeper.close());
  keeper.start();
  return keeper;
}

describe('renewal under load', () => {
  guardLeaks();

  it('refuses nobody, keeps what stands, and is seen by new callers', async (t) => {
    const lifetimes = { leafMs: 6_000 };
    const options = { lifetimes, allowShortLifetimes: true, clock: systemClock };
    const { authority } = await testAuthority(t, options);
    const orders = keep(t, authority, 'orders');
    const web = keep(t, authority, 'web');
    const first = await within(orders.ready(), 'the first certificate');
    await within(web.ready(), 'the first certificate');
    const server = await ourServer(t, first.bundle);
    let renewed = -1; // the first call is the certificate that is there already
    orders.subscribe(({ bundle }) => {
      renewed++;
      server.acceptor.renew(createCredentials(bundle));
    });

    const visit = async () => {
      const bundle = web.current?.bundle;
      assert.ok(bundle !== undefined);
      const expected = 'spiffe://mesh.test/ns/shop/sa/orders';
      const { socket, peer } = await ourClient(t, server.port, bundle, { expected });
      socket.write('x');
      await once(socket, 'data');
      return { socket, peer };
    };
    const standing = await visit();
    const ends = new Set<number | undefined>();
    let visits = 0;
    const caller = async () => {
      while (renewed < renewals) {
        const { socket, peer } = await visit();
        ends.add(peer.notAfterMs);
        visits++;
        socket.destroy();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await within(Promise.all([caller(), caller()]), `${renewals} renewals`, 60_000);
    standing.socket.write('still here');
    await within(once(standing.socket, 'data'), 'the standing connection');
    assert.deepEqual(server.refused, []);
    assert.ok(ends.size >= renewals, `${ends.size} certificates seen in ${visits} visits`);
    await eventually(() => server.acceptor.pending === 0);
  });
});
