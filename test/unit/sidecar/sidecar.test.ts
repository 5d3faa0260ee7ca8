/** A sidecar within this process, where its end can be watched. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../kit/clock.ts';
import { silentLog } from '../../../kit/log.ts';
import { systemRandom } from '../../../kit/random.ts';
import { Sidecar } from '../../../sidecar/sidecar.ts';
import { InheritedSockets } from '../../../sidecar/succession.ts';
import { defer } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { ask, listenForTest } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { endpointOf } from '../../support/model.ts';
import { addressesOf, describePair, type PairOptions, type Side } from '../../support/static-pair.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

async function startPair(t: TestContext, options: PairOptions) {
  const { mesh, caller, receiver } = await describePair(options);
  const start = async ({ account, bootstrap, snapshot }: Side) => {
    const sidecar = new Sidecar({
      bootstrap: { ...bootstrap, accessLogFile: join(tempFolder(t), 'access.log') },
      identity: await mesh.bundle(account),
      snapshot,
      resolver: undefined,
      inherited: new InheritedSockets([]),
      adminPage: 'own',
      memoryLimitBytes: 2 ** 30,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      onDrainAsked: () => {},
    });
    await sidecar.start();
    defer(t, () => sidecar.stop());
    return sidecar;
  };
  const { snapshot } = caller;
  return {
    mesh,
    snapshot,
    shop: await start(receiver),
    web: await start(caller),
    ...addressesOf(caller, receiver),
  };
}

/** How a connection ended: in good order, or with the code of an error. */
function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.on('end', () => resolve('end'));
    socket.resume();
  });
}

describe('a sidecar', () => {
  for (const [which, shared] of [
    ['caller', false],
    ['caller', true],
    ['receiver', false],
    ['receiver', true],
  ] as const) {
    const how = shared ? 'on the link' : 'with TLS of its own';
    it(`cuts opaque connections ${how} when the ${which}'s time to drain is over`, async (t) => {
      const accepted = Promise.withResolvers<Socket>();
      const server = createServer({ allowHalfOpen: true }, accepted.resolve);
      const port = await listenForTest(t, server);
      const pair = await startPair(t, {
        ports: [{ port: 7000, appPort: port, protocol: 'tcp', shared }],
      });
      const client = connect({ host: '127.0.0.1', port: pair.localPort(7000), allowHalfOpen: true });
      defer(t, () => void client.destroy());
      client.write('hello');
      const served = await accepted.promise;
      await once(served, 'data');
      served.write('world');
      await once(client, 'data');
      const ends = Promise.all([endOf(client), endOf(served)]);
      await (which === 'caller' ? pair.web : pair.shop).stop();
      assert.deepEqual(await ends, ['ECONNRESET', 'ECONNRESET']);
    });
  }

  it('shows pages of any size on its admin page, at the pace of their reader', async (t) => {
    const { mesh, snapshot, web, callerAdmin } = await startPair(t, {
      ports: [{ port: 80, appPort: 1, protocol: 'http' }],
    });
    const [cluster = ''] = snapshot.clusters.keys();
    const endpoints = Array.from({ length: 20_000 }, (_, n) =>
      endpointOf(`test/shop.${n}@local`, { identity: mesh.nameOf('shop'), transport: 'link' }),
    );
    const changed = new Map([[cluster, { cluster, version: 2, endpoints }]]);
    web.apply({ ...snapshot, endpoints: changed });
    const { body, headers } = await ask(callerAdmin, { path: '/config' });
    assert.ok(body.length > 6_000_000);
    assert.equal(body.length, Number(headers['content-length']));
    JSON.parse(body);
    await eventually(async () => (await ask(callerAdmin, { path: '/ready' })).status === 200);
  });
});
