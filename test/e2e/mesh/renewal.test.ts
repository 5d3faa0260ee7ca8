/** Certificates of six seconds under load: ten renewals at both ends of a link, and no request is lost. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { ask, open } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { peerYaml, serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { startLoadFor } from '../../support/steady-load.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const api = 'shop/api.0@n2';
const renewals = 10;

describe('certificates of six seconds', () => {
  it('are renewed ten times under load without a lost request', async (t) => {
    const short = '--allow-short-lifetimes';
    const mesh = await startMesh(t, ['n1', 'n2'], {
      pilotFlags: [short, '--leaf-lifetime', '6s'],
      agentFlags: [short],
    });
    await mesh.apply(
      [
        workloadYaml('web', { node: 'n1', calls: ['api'] }),
        workloadYaml('api', { node: 'n2' }),
        serviceYaml('api'),
        peerYaml('STRICT'),
      ].join(''),
    );
    await mesh.ready(web, api);
    const port = mesh.proxy(web);
    await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
    const load = startLoadFor(t, { port, host: 'api.shop', connections: 4, pauseMs: 5 });
    // One that wants to last longer than the certificate that let it in.
    const stream = await open(port, { host: 'api.shop', path: '/stream' });
    let ticks = 0;
    let ended = 'no';
    stream.on('data', () => ticks++);
    stream.on('error', (error) => {
      ended = error.message;
    });
    stream.on('end', () => {
      ended = 'by the other side';
    });
    const seen = { [web]: new Set<number>(), [api]: new Set<number>() };
    await eventually(
      async () => {
        for (const [id, ends] of Object.entries(seen)) {
          const { certificateEndsMs } = await mesh.instance(id);
          assert.ok((certificateEndsMs ?? 0) > Date.now(), `${id} has no valid certificate`);
          ends.add(certificateEndsMs ?? 0);
        }
        return Object.values(seen).every((ends) => ends.size > renewals);
      },
      { what: `${renewals} renewals of both`, withinMs: 120_000, everyMs: 200 },
    );
    const { sent, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(sent > renewals, `only ${sent} requests`);
    assert.ok(ticks > 0);
    assert.notEqual(ended, 'no', 'a stream outlived its certificate');
    stream.destroy();
  });
});
