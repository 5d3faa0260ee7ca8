/** Routes changed a hundred times under load: no request fails, and the last change holds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { startLoadFor } from '../../support/steady-load.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const changes = 100;

describe('routes changed under load', () => {
  it('fail no request over 100 changes, and the last one holds', async (t) => {
    const mesh = await startMesh(t, ['n1', 'n2']);
    await mesh.apply(
      [
        workloadYaml('web', { node: 'n1', calls: ['api'] }),
        workloadYaml('api-v1', { node: 'n1', version: 'v1' }),
        workloadYaml('api-v2', { node: 'n2', version: 'v2' }),
        serviceYaml('api'),
        serviceYaml('api-v1', 'workload: api-v1'),
        serviceYaml('api-v2', 'workload: api-v2'),
      ].join(''),
    );
    await mesh.ready(web, 'shop/api-v1.0@n1', 'shop/api-v2.0@n2');
    const port = mesh.proxy(web);
    const version = async () => (await ask(port, { host: 'api.shop', path: '/version' })).body;
    await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
    const check = (body: string) => (/^v[12]$/.test(body) ? undefined : `answered ${body}`);
    const load = startLoadFor(t, {
      port,
      host: 'api.shop',
      path: '/version',
      connections: 4,
      pauseMs: 5,
      check,
    });
    for (let change = 0; change < changes; change++) {
      const from = load.sent;
      await mesh.api('POST', '/v1/changes', { changes: [routeChange(change)] });
      await eventually(() => load.sent > from, { what: 'a request between two changes' });
    }
    await mesh.apply(routeYaml('v2'));
    await eventually(async () => {
      const answers = await Promise.all(Array.from({ length: 10 }, version));
      return answers.every((answer) => answer === 'v2');
    });
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
    const status = (await mesh.api('GET', '/v1/status')) as { sidecars: readonly { nack?: unknown }[] };
    assert.deepEqual(
      status.sidecars.filter(({ nack }) => nack !== undefined),
      [],
    );
  });
});

/** Weights, header matches, filters, routes that come and go. */
function routeChange(change: number) {
  const name = `api-${change % 3}`;
  if (change % 7 === 6) return { delete: { kind: 'HTTPRoute', namespace: 'shop', name } };
  const rules = [
    rule(change % 10, 10 - (change % 10)),
    { ...rule(1, 0), matches: [{ headers: [{ name: 'x-canary', value: String(change) }] }] },
    {
      ...rule(0, 1),
      matches: [{ path: { type: 'PathPrefix', value: `/beta-${change}` } }],
      filters: [
        {
          type: 'RequestHeaderModifier',
          requestHeaderModifier: { set: [{ name: 'x-change', value: String(change) }] },
        },
      ],
    },
  ];
  return { put: route(name, rules) };
}

function rule(v1: number, v2: number) {
  return {
    backendRefs: [
      { group: 'heddle', kind: 'Service', name: 'api-v1', port: 80, weight: v1 },
      { group: 'heddle', kind: 'Service', name: 'api-v2', port: 80, weight: v2 },
    ],
  };
}

function route(name: string, rules: readonly unknown[]) {
  const parentRefs = [{ group: 'heddle', kind: 'Service', name: 'api', port: 80 }];
  const metadata = { name, namespace: 'shop' };
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata,
    spec: { parentRefs, rules },
  };
}

/** Everything to one version, ahead of all other routes by an exact path. */
function routeYaml(version: 'v1' | 'v2'): string {
  const matches = [{ path: { type: 'Exact', value: '/version' } }];
  return JSON.stringify(
    route('last-word', [{ ...rule(version === 'v1' ? 1 : 0, version === 'v2' ? 1 : 0), matches }]),
  );
}
