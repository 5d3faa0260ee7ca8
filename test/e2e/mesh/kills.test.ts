/** `kill -9` of each program of the mesh, one after the other, under load. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type Mesh, serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { isAlive } from '../../support/process-table.ts';
import { startProcess } from '../../support/processes.ts';
import { type SteadyLoad, startLoadFor } from '../../support/steady-load.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const apis = ['shop/api-one.0@n1', 'shop/api-two.0@n2'] as const;
const connections = 4;

interface Bench {
  readonly mesh: Mesh;
  readonly load: SteadyLoad;
  /** One process of each role for every instance, by process id. */
  pids(): string[];
}

async function bench(t: Parameters<typeof startMesh>[0]): Promise<Bench> {
  const mesh = await startMesh(t, ['n1', 'n2']);
  await mesh.apply(
    [
      workloadYaml('web', { node: 'n1', calls: ['api'] }),
      workloadYaml('api-one', { node: 'n1' }),
      workloadYaml('api-two', { node: 'n2' }),
      serviceYaml('api'),
    ].join(''),
  );
  await mesh.ready(web, ...apis);
  const port = mesh.proxy(web);
  await eventually(async () => (await mesh.endpoints(web, 'shop/api:80')).length === 2);
  await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
  const load = startLoadFor(t, { port, host: 'api.shop', connections, pauseMs: 5 });
  await eventually(() => load.sent > 100);
  const pids = () =>
    [web, ...apis].flatMap((id) =>
      mesh.processes(id).map(({ ref, env }) => `${id} ${env['HEDDLE_ROLE']} ${ref.pid}`),
    );
  return { mesh, load, pids };
}

/** Some more requests, all of them answered. */
async function servesOn(load: SteadyLoad, failedBefore: number): Promise<void> {
  const from = load.sent;
  await eventually(() => load.sent > from + 200);
  assert.deepEqual(load.failures.slice(failedBefore), []);
}

describe('kill -9', () => {
  for (const role of ['app', 'sidecar'] as const) {
    it(`of a service's ${role}: brought back once, and only what it was at fails`, async (t) => {
      const { mesh, load, pids } = await bench(t);
      const [one] = apis;
      const before = pids();
      assert.equal(before.length, 6);
      const victim = mesh.processes(one, role)[0]?.ref.pid ?? 0;
      process.kill(victim, 'SIGKILL');
      await eventually(
        async () => {
          const [now, ...more] = mesh.processes(one, role);
          const { state } = await mesh.instance(one);
          return now !== undefined && more.length === 0 && now.ref.pid !== victim && state === 'ready';
        },
        { what: `a new ${role}`, withinMs: 60_000 },
      );
      const ready = apis.map((id) => `${id} ready`);
      await eventually(async () => (await mesh.endpoints(web, 'shop/api:80')).join() === ready.join());
      assert.ok(load.failures.length <= connections, load.failures.join('\n'));
      await servesOn(load, load.failures.length);
      await load.stop();
      const after = pids();
      assert.equal(after.length, 6);
      assert.equal(after.filter((line) => before.includes(line)).length, 5);
    });
  }

  it('of the pilot and of both agents: nothing fails, the next ones take up what runs and touch no stranger', async (t) => {
    const { mesh, load, pids } = await bench(t);
    const before = pids();
    const stranger = await startProcess(t, {
      args: ['-e', 'setInterval(() => {}, 1000)', mesh.host('n1').stateDir, 'sidecar', 'run'],
    });
    await mesh.killPilot();
    await mesh.killAgent('n1');
    await mesh.killAgent('n2');
    await servesOn(load, 0);
    await mesh.startAgent('n2');
    await mesh.startPilot();
    await mesh.startAgent('n1');
    await mesh.ready(web, ...apis);
    await eventually(async () => (await mesh.status('n1')).pilot !== null, { withinMs: 60_000 });
    assert.deepEqual(pids(), before);
    assert.ok(isAlive(stranger.pid));
    await servesOn(load, 0);
    // The whole of it still works: a change arrives everywhere.
    await mesh.apply(workloadYaml('api-three', { node: 'n2' }));
    await mesh.ready('shop/api-three.0@n2');
    await eventually(async () => (await mesh.endpoints(web, 'shop/api:80')).length === 3);
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
  });
});
