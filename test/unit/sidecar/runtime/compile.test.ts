import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ParseFailure } from '../../../../kit/parse.ts';
import { seededRandom } from '../../../../kit/random.ts';
import type { Bootstrap } from '../../../../mesh/bootstrap.ts';
import type { EndpointSet, InboundPort, RouteRule, Snapshot } from '../../../../mesh/model.ts';
import { Pool } from '../../../../sidecar/cluster/pool.ts';
import { Metrics } from '../../../../sidecar/observe/metrics.ts';
import { compileRuntime, settleClusters } from '../../../../sidecar/runtime/compile.ts';
import { findPort, type Runtime } from '../../../../sidecar/runtime/runtime.ts';
import { clusterOf, endpointOf, selfOf, snapshotFor } from '../../../support/model.ts';

const bootstrap: Bootstrap = {
  instance: 'shop/web.0@n',
  link: undefined,
  outbound: { hosts: ['127.0.0.1'], port: 15001 },
  localPorts: [],
  apps: [{ port: 8080, appHost: '127.0.0.1', appPort: 4000, plain: undefined }],
  admin: { port: 1 },
  accessLogFile: undefined,
  allowShortLifetimes: false,
};

const orders = { namespace: 'shop', name: 'orders' };
const cluster = clusterOf(orders, 80, { limits: { maxConnections: 1, maxRequests: 1 } });
const { timeouts, limits } = cluster;
const rule: RouteRule = {
  route: 'Service shop/orders',
  match: { path: undefined, method: undefined, headers: [], query: [], serverName: undefined },
  filters: [],
  backends: [{ weight: 1, filters: [], target: { cluster: cluster.name } }],
  timeouts: { requestMs: undefined, backendRequestMs: undefined },
};
const endpoints: EndpointSet = { cluster: cluster.name, version: 1, endpoints: [endpointOf('e1')] };

function snapshot(change: Partial<Snapshot> = {}, rules: readonly RouteRule[] = [rule]): Snapshot {
  const inbound: InboundPort = {
    ...{ name: 'http', port: 8080, protocol: 'http', mtls: 'strict', shared: false, limits, timeouts },
  };
  return snapshotFor(selfOf('shop', 'web', { inbound: [inbound] }), {
    services: new Map([['shop/orders', { service: orders, ports: [{ port: 80, protocol: 'http', rules }] }]]),
    clusters: new Map([[cluster.name, cluster]]),
    endpoints: new Map([[cluster.name, endpoints]]),
    ...change,
  });
}

const services = {
  bootstrap,
  createPool: () =>
    new Pool({ connect: () => {}, requestsPerConnection: 1, maxConnections: 1, maxWaiting: 1 }),
  metrics: new Metrics(),
  random: seededRandom(1),
};

function apply(next: Snapshot, before?: Runtime): Runtime {
  const runtime = compileRuntime(next, before, services);
  settleClusters(runtime, before);
  return runtime;
}

describe('compileRuntime', () => {
  it('finds a service by its names and the cluster behind it', () => {
    const runtime = apply(snapshot());
    const port = findPort(runtime, 'orders.shop.mesh');
    const matched = port?.routes.match({ method: 'GET', path: '/', header: () => undefined });
    assert.equal(matched?.split.pick(0)?.forwarding?.cluster.description.name, cluster.name);
    assert.equal(runtime.inbound.get(8080)?.app.pick()?.endpoint.port, 4000);
  });

  it('keeps clusters, applications and untouched routes over a change elsewhere', () => {
    const first = snapshot();
    const before = apply(first);
    const after = apply({ ...first, version: { epoch: 1, revision: 2 }, policies: new Map() }, before);
    assert.equal(after.clusters.get(cluster.name), before.clusters.get(cluster.name));
    assert.equal(after.services.get('shop/orders'), before.services.get('shop/orders'));
    assert.equal(after.inbound.get(8080)?.app, before.inbound.get(8080)?.app);
  });

  it('takes new endpoints and a new description into a live cluster', () => {
    const before = apply(snapshot());
    const live = before.clusters.get(cluster.name);
    const host = live?.pick();
    const more = {
      ...endpoints,
      version: 2,
      endpoints: [
        ...endpoints.endpoints,
        { ...(endpoints.endpoints[0] as (typeof endpoints.endpoints)[0]), id: 'e2' },
      ],
    };
    const next = snapshot({
      clusters: new Map([[cluster.name, { ...cluster, retry: { attempts: 0 } }]]),
      endpoints: new Map([[cluster.name, more]]),
    });
    apply(next, before);
    assert.deepEqual(
      [...(live?.hosts ?? [])].map(({ endpoint }) => endpoint.id),
      ['e1', 'e2'],
    );
    assert.ok([...(live?.hosts ?? [])].includes(host as never));
    assert.equal(live?.description.retry.attempts, 0);
  });

  it('refuses a snapshot with every problem by path', () => {
    const dangling = {
      ...rule,
      backends: [{ weight: 1, filters: [], target: { cluster: 'shop/ghost:80' } }],
    };
    const badRegex = { ...rule, match: { ...rule.match, path: { kind: 'regex', value: '(' } as const } };
    const bad = snapshot({}, [dangling, badRegex]);
    const unbound = { ...bad, self: { ...bad.self, policies: ['shop/lost'] } };
    assert.throws(
      () => compileRuntime(unbound, undefined, services),
      (error: unknown) => {
        assert.ok(error instanceof ParseFailure);
        assert.equal(error.problems.length, 3);
        assert.match(error.message, /shop\/ghost:80/);
        assert.match(error.message, /shop\/lost/);
        return true;
      },
    );
  });

  it('prefers ready endpoints and falls back to unknown ones, never to draining ones', () => {
    const [first] = endpoints.endpoints;
    const set = (...states: ('ready' | 'unknown' | 'draining' | 'unready')[]) => ({
      ...endpoints,
      endpoints: states.map((state, at) => ({
        ...(first as NonNullable<typeof first>),
        id: `e${at}`,
        state,
      })),
    });
    const picked = (...states: Parameters<typeof set>) => {
      const live = apply(snapshot({ endpoints: new Map([[cluster.name, set(...states)]]) })).clusters.get(
        cluster.name,
      );
      return new Set(Array.from({ length: 10 }, () => live?.pick()?.endpoint.state));
    };
    assert.deepEqual(picked('ready', 'unknown', 'draining'), new Set(['ready']));
    assert.deepEqual(picked('draining', 'unknown', 'unready'), new Set(['unknown']));
    assert.deepEqual(picked('draining', 'unready'), new Set([undefined]));
  });
});
