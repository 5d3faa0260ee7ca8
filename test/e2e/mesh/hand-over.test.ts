/** Sidecars of a whole mesh that start their own successors under load; agents go on with those. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { startLoadFor } from '../../support/steady-load.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const api = 'shop/api.0@n1';

describe('hand-over', () => {
  it('of both sidecars: nothing fails, the agent starts nothing, and configuration goes on', async (t) => {
    const mesh = await startMesh(t, ['n1']);
    await mesh.apply(
      workloadYaml('web', { node: 'n1', calls: ['api'] }) +
        workloadYaml('api', { node: 'n1' }) +
        serviceYaml('api'),
    );
    await mesh.ready(web, api);
    const port = mesh.proxy(web);
    await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
    const load = startLoadFor(t, { port, host: 'api.shop', connections: 4, pauseMs: 5 });
    await eventually(() => load.sent > 100);
    const sidecarOf = (id: string) => mesh.processes(id, 'sidecar').map(({ ref }) => ref.pid);
    for (const id of [web, api, web]) {
      const [before = 0] = sidecarOf(id);
      process.kill(before, 'SIGHUP');
      await eventually(() => sidecarOf(id).length === 1 && !sidecarOf(id).includes(before), {
        what: `one successor of ${id}`,
        withinMs: 90_000,
      });
      const [heir] = sidecarOf(id);
      await eventually(async () => (await mesh.instance(id)).sidecarPid === heir);
      const from = load.sent;
      await eventually(() => load.sent > from + 100);
    }
    for (const id of [web, api]) {
      const { state, restarts } = await mesh.instance(id);
      assert.deepEqual([state, restarts], ['ready', 0]);
    }
    // Successors hear of what changes as their predecessors did.
    await mesh.apply(workloadYaml('api-more', { node: 'n1' }));
    await mesh.ready('shop/api-more.0@n1');
    await eventually(async () => (await mesh.endpoints(web, 'shop/api:80')).length === 2);
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
  });
});
