/**
 * The control plane gone, pilot and store, and back again under load: no endpoint is taken away, no request fails.
 * `HEDDLE_OUTAGE_MS=120000 node --test test/e2e/mesh/outage.test.ts` is the long form.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startEtcd } from '../../support/etcd-server.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type Mesh, serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { startLoadFor } from '../../support/steady-load.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const apis = ['shop/api-one.0@n1', 'shop/api-one.1@n1', 'shop/api-two.0@n2', 'shop/api-two.1@n2'];
const { HEDDLE_OUTAGE_MS: wanted = '8000' } = process.env;
const outageMs = Number(wanted);

/** Takes away everything of the control plane, waits, gives it back; all of it under load. */
async function endure(
  t: TestContext,
  mesh: Mesh,
  takeAway: () => Promise<void>,
  giveBack: () => Promise<void>,
): Promise<void> {
  await mesh.apply(
    [
      workloadYaml('web', { node: 'n1', calls: ['api'] }),
      workloadYaml('api-one', { node: 'n1', replicas: 2 }),
      workloadYaml('api-two', { node: 'n2', replicas: 2 }),
      serviceYaml('api'),
    ].join(''),
  );
  await mesh.ready(web, ...apis);
  const ready = apis.map((id) => `${id} ready`);
  const endpoints = () => mesh.endpoints(web, 'shop/api:80');
  await eventually(async () => assert.deepEqual(await endpoints(), ready) === undefined);
  const answered = new Map<string, number>();
  const load = startLoadFor(t, {
    port: mesh.proxy(web),
    host: 'api.shop',
    connections: 4,
    pauseMs: 10,
    check(body) {
      answered.set(body, (answered.get(body) ?? 0) + 1);
      return undefined;
    },
  });
  const servedByAll = async (): Promise<void> => {
    answered.clear();
    await eventually(() => apis.every((id) => (answered.get(id) ?? 0) > 10), { what: 'answers of all' });
  };
  await servedByAll();

  await takeAway();
  const until = performance.now() + outageMs;
  while (performance.now() < until) {
    assert.deepEqual(await endpoints(), ready);
    await servedByAll();
  }
  await giveBack();
  await eventually(
    async () => (await mesh.status('n1')).pilot !== null && (await mesh.status('n2')).pilot !== null,
    {
      what: 'both agents have a pilot',
      withinMs: 60_000,
      everyMs: 100,
    },
  );
  // A change goes through again, and by then nothing was lost on the way.
  await mesh.apply(serviceYaml('other'));
  await eventually(async () => {
    const { version, sidecars } = (await mesh.api('GET', '/v1/status')) as Status;
    return sidecars.length === 5 && sidecars.every(({ acked }) => acked?.epoch === version.epoch);
  });
  assert.deepEqual(await endpoints(), ready);
  await servedByAll();
  const { failures } = await load.stop();
  assert.deepEqual(failures, []);
  for (const id of [web, ...apis]) assert.equal((await mesh.instance(id)).restarts, 0);
}

interface Status {
  readonly version: { readonly epoch: number };
  readonly sidecars: readonly { readonly acked?: { readonly epoch: number } }[];
}

describe('an outage of the whole control plane', () => {
  it('takes no endpoint away and fails no request: embedded store', async (t) => {
    const mesh = await startMesh(t, ['n1', 'n2']);
    await endure(
      t,
      mesh,
      () => mesh.killPilot(),
      async () => void (await mesh.startPilot()),
    );
  });

  it('takes no endpoint away and fails no request: etcd', async (t) => {
    const etcd = await startEtcd(t);
    const key = join(tempFolder(t), 'ca-key');
    writeFileSync(key, randomBytes(48).toString('base64'), { mode: 0o600 });
    const pilotFlags = ['--store', 'etcd', '--etcd-endpoints', etcd.url, '--ca-key-file', key];
    const mesh = await startMesh(t, ['n1', 'n2'], { pilotFlags });
    await endure(
      t,
      mesh,
      async () => {
        await etcd.kill();
        await mesh.killPilot();
      },
      async () => {
        // The pilot is there first and waits for its store.
        const started = mesh.startPilot();
        await etcd.start();
        await started;
      },
    );
  });
});
