/** From permissive to strict under load: callers with a certificate lose nothing, the others are refused from then on. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { peerYaml, serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { startLoadFor } from '../../support/steady-load.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const api = 'shop/api.0@n2';

describe('a workload that becomes strict under load', () => {
  it('loses no request of the mesh, and refuses plaintext from then on', async (t) => {
    const mesh = await startMesh(t, ['n1', 'n2']);
    const shop = [
      workloadYaml('web', { node: 'n1', calls: ['api'] }),
      workloadYaml('api', { node: 'n2' }),
      serviceYaml('api'),
    ].join('');
    await mesh.apply(shop + peerYaml('PERMISSIVE'));
    await mesh.ready(web, api);
    const port = mesh.proxy(web);
    const plainPort = (await mesh.instance(api)).ports[0]?.plainPort ?? 0;
    await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
    assert.equal((await ask(plainPort)).body, api);
    const load = startLoadFor(t, { port, host: 'api.shop', connections: 4, pauseMs: 5 });
    const plain = startLoadFor(t, { port: plainPort, connections: 2, pauseMs: 10 });
    await eventually(() => plain.sent > 50 && load.sent > 100);
    assert.deepEqual(plain.failures, []);

    await mesh.apply(peerYaml('STRICT'));
    await eventually(() => plain.failures.length > 0, { what: 'a refused plaintext caller' });
    const refusedFrom = plain.sent;
    const failedBy = plain.failures.length;
    await eventually(() => plain.sent > refusedFrom + 20);
    // From the first refusal on there is no other answer, also on connections that were open before.
    assert.ok(plain.failures.length - failedBy >= 20, `${plain.sent - refusedFrom} sent after it`);
    const { sent, failures } = await load.stop();
    await plain.stop();
    assert.deepEqual(failures, []);
    assert.ok(sent > 100);
    assert.match(mesh.log(api, 'access.log'), /takes callers with a mesh identity only/);

    await mesh.apply(peerYaml('PERMISSIVE'));
    await eventually(async () => (await ask(plainPort)).body === api);
  });
});
