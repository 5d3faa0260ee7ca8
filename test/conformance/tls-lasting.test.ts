/** Rows of the TLS table that take longer: a thousand renewals under load, names of every shape, floods of half-open peers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, describe, it } from 'node:test';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { createCredentials } from '../../sidecar/net/tls-credentials.ts';
import { createTestMesh, type TestMesh } from '../support/certificates.ts';
import { helloFor } from '../support/client-hello.ts';
import { eventually, within } from '../support/eventually.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { ourClient, ourServer, plainClient } from '../support/tls-bench.ts';

describe('TLS that is kept busy', () => {
  guardLeaks();
  let mesh: TestMesh;
  let good = '';
  before(async () => {
    mesh = await createTestMesh('mesh.test');
    good = mesh.nameOf('orders');
  });

  it('T19: a thousand renewals refuse no caller, and each caller sees the newest certificate', async (t) => {
    const bundles = [await mesh.bundle('orders'), await mesh.bundle('orders')];
    const credentials = bundles.map((bundle: IdentityBundle) => createCredentials(bundle));
    const server = await ourServer(t, bundles[0] as IdentityBundle);
    const web = await mesh.bundle('web');
    const live = await ourClient(t, server.port, web, { expected: good });
    let echoed = 0;
    live.socket.on('data', (chunk: Buffer) => {
      echoed += chunk.length;
    });
    const callers = 4;
    const seen: (string | undefined)[] = [];
    for (let round = 0; round < 50; round++) {
      for (let swap = 0; swap < 20; swap++) server.acceptor.renew(credentials[(round + swap) % 2] as never);
      live.socket.write('x');
      const visits = Array.from({ length: callers }, async () => {
        const { socket } = await ourClient(t, server.port, web, { expected: good });
        seen.push(socket.getPeerX509Certificate()?.serialNumber);
        socket.write('y');
        await within(once(socket, 'data'), 'the echo');
        socket.destroy();
      });
      await Promise.all(visits);
    }
    await eventually(() => echoed === 50);
    assert.deepEqual(server.refused, []);
    // The last of each round's swaps is the other one every time.
    const rounds = Array.from({ length: 50 }, (_, round) =>
      seen.slice(round * callers, (round + 1) * callers),
    );
    assert.ok(rounds.every((round) => new Set(round).size === 1));
    assert.ok(rounds.every((round, at) => at === 0 || round[0] !== rounds[at - 1]?.[0]));
  });

  it('T21: thousands of peers that connect and say nothing keep nobody out', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    for (let batch = 0; batch < 20; batch++)
      await Promise.all(Array.from({ length: 100 }, () => plainClient(t, server.port)));
    await eventually(() => server.refused.length >= 2_000 - 1_024);
    assert.ok(server.acceptor.pending <= 1_024);
    const { peer } = await ourClient(t, server.port, await mesh.bundle('web'), { expected: good });
    assert.equal(peer.identity, good);
  });

  for (const name of ['80.orders\0.shop.mesh', '', '127.0.0.1', 'a'.repeat(256), 'ü.shop.mesh']) {
    it(`T23: a ClientHello that asks for ${JSON.stringify(name.slice(0, 20))} ends in order`, async (t) => {
      const server = await ourServer(t, await mesh.bundle('orders'));
      const raw = await plainClient(t, server.port);
      raw.resume();
      raw.write(helloFor(name));
      await within(once(raw, 'close'), 'the refusal');
      const { error } = await eventually(() => server.refused[0]);
      assert.equal(error.code, 'tls_failed');
      const { peer } = await ourClient(t, server.port, await mesh.bundle('web'), { expected: good });
      assert.equal(peer.identity, good);
    });
  }
});
