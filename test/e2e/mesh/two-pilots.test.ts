/** Two pilots over one etcd, as two hosts of one machine: agents and operators go on with the other when one falls. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startEtcd } from '../../support/etcd-server.ts';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { startLoadFor } from '../../support/steady-load.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const api = 'shop/api.0@n1';

describe('two pilots on one store', () => {
  it('stand in for each other, with one authority and one world', async (t) => {
    const etcd = await startEtcd(t);
    const key = join(tempFolder(t), 'ca-key');
    writeFileSync(key, randomBytes(48).toString('base64'), { mode: 0o600 });
    const pilotFlags = ['--store', 'etcd', '--etcd-endpoints', etcd.url, '--ca-key-file', key];
    const mesh = await startMesh(t, [], { pilotFlags });
    const other = mesh.sibling({ host: '127.0.0.2', pilotFlags });
    await other.startPilot();
    await mesh.startAgent('n1', ['--pilot', `127.0.0.2:${mesh.joinPort}`]);
    await mesh.apply(
      workloadYaml('web', { node: 'n1', calls: ['api'] }) +
        workloadYaml('api', { node: 'n1' }) +
        serviceYaml('api'),
    );
    await mesh.ready(web, api);
    // A world that one pilot was told of is the other's too.
    await eventually(async () => (await other.cli('get', 'workload', 'web', '-n', 'shop')).code === 0);
    const port = mesh.proxy(web);
    await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
    const load = startLoadFor(t, { port, host: 'api.shop', connections: 2, pauseMs: 10 });

    const { pilot: first } = await mesh.status('n1');
    const [falls, stays] = first?.startsWith('127.0.0.2') ? [other, mesh] : [mesh, other];
    await falls.killPilot();
    await eventually(
      async () => {
        const { pilot } = await mesh.status('n1');
        return pilot !== null && pilot !== first;
      },
      { what: 'the other pilot', withinMs: 60_000, everyMs: 100 },
    );
    await stays.apply(workloadYaml('late', { node: 'n1' }));
    await mesh.ready('shop/late.0@n1');
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
  });
});
