import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import type { RouteRule, Snapshot } from '../../../../mesh/model.ts';
import { createBuilder } from '../../../../pilot/build/build.ts';
import type { World } from '../../../../pilot/world/world.ts';
import { nodeOf, withInstances, withoutResource, withResources, worldOf } from '../../../support/world.ts';

const shop = `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: shop, labels: { app: web } }
spec:
  node: one
  account: front
  ports: [{ name: http, port: 8080 }, { port: 7000, protocol: tcp, shared: true }]
  calls: [{ service: orders }, { service: ledger.bank, port: 5432, localPort: 5432 }, { service: ghost, port: 1 }]
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders-v1, namespace: shop, labels: { app: orders, version: v1 } }
spec: { node: one, account: orders, ports: [{ name: http, port: 3000 }] }
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders-v2, namespace: shop, labels: { app: orders, version: v2 } }
spec: { nodeSelector: { disk: fast }, account: orders, ports: [{ name: http, port: 3001 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ name: web, port: 80, targetPort: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders-v2, namespace: shop }
spec: { selector: { app: orders, version: v2 }, ports: [{ port: 80, targetPort: 3001 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: ledger, namespace: bank }
spec: { ports: [{ name: db, port: 5432, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: ServiceInstance
metadata: { name: ledger-1, namespace: bank }
spec: { service: ledger, addresses: [10.9.9.9], ports: [{ port: 5432, targetPort: 6432 }] }
`;

const route = (name: string, namespace: string, rules: string, kind = 'HTTPRoute') => `
apiVersion: gateway.networking.k8s.io/v1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  parentRefs: [{ kind: Service, group: '', name: orders, namespace: shop }]
  rules: ${rules}
`;

const web = { workload: 'shop/web', node: 'one' };

function build(world: World, subscriber = web): Snapshot {
  return createBuilder().build(world, subscriber);
}

function rules(snapshot: Snapshot, service = 'shop/orders'): readonly RouteRule[] {
  return snapshot.services.get(service)?.ports[0]?.rules ?? [];
}

/** Where a rule's requests go, as one line. */
function targets(rule: RouteRule | undefined): string[] {
  return (rule?.backends ?? []).map(
    ({ weight, target }) => `${weight} ${'cluster' in target ? target.cluster : `! ${target.problem}`}`,
  );
}

describe('build', () => {
  it('tells a sidecar who it is and what its workload serves and calls', () => {
    const { self, version } = build(worldOf(shop));
    assert.deepEqual(version, { epoch: 1, revision: 2 });
    assert.equal(self.identity, 'spiffe://mesh.local/ns/shop/sa/front');
    assert.deepEqual(
      self.inbound.map(({ name, port, protocol, mtls, shared }) => [name, port, protocol, mtls, shared]),
      [
        ['http', 8080, 'detect', 'strict', false],
        ['7000', 7000, 'tcp', 'strict', true],
      ],
    );
    assert.deepEqual(
      self.calls.map(({ service, port, protocol, localPort }) => [service.name, port, protocol, localPort]),
      [
        ['orders', 80, 'detect', undefined],
        ['ledger', 5432, 'tcp', 5432],
        ['ghost', 1, 'detect', undefined],
      ],
    );
  });

  it('leads a service without routes to itself', () => {
    const snapshot = build(worldOf(shop));
    assert.deepEqual([...snapshot.services.keys()], ['shop/orders', 'bank/ledger']);
    assert.deepEqual(rules(snapshot).map(targets), [['1 shop/orders:80']]);
    assert.deepEqual(rules(snapshot, 'bank/ledger').map(targets), [['1 bank/ledger:5432']]);
    assert.deepEqual([...snapshot.clusters.keys()], ['shop/orders:80', 'bank/ledger:5432']);
    assert.deepEqual([...snapshot.endpoints.keys()], ['shop/orders:80', 'bank/ledger:5432']);
  });

  it('refuses a workload that is not there', () => {
    assert.throws(
      () => build(worldOf(shop), { workload: 'shop/nobody', node: 'one' }),
      (thrown: unknown) => thrown instanceof MeshError && thrown.code === 'not_found',
    );
  });

  it('adds services that were resolved at the first call', () => {
    const subscriber = { ...web, resolved: [{ namespace: 'shop', name: 'orders-v2' }] };
    assert.ok(build(worldOf(shop), subscriber).services.has('shop/orders-v2'));
  });

  describe('routes', () => {
    it('replace the default, in order of precedence', () => {
      const world = withResources(
        worldOf(shop),
        route(
          'split',
          'shop',
          `
    - matches: [{ path: { value: /api } }, { path: { value: /api/v1/ } }, { path: { type: Exact, value: /api } }]
      backendRefs: [{ name: orders, port: 80, weight: 9 }, { name: orders-v2, port: 80 }]
    - matches:
        - { method: GET }
        - { headers: [{ name: X-A, value: '1' }, { name: x-a, value: '2' }, { name: x-b, value: '1' }] }
        - { path: { type: RegularExpression, value: '/a.*' } }
        - { queryParams: [{ name: q, value: '1' }] }
        - { headers: [{ name: x-a, value: '1' }] }
      backendRefs: [{ name: orders, port: 80 }]`,
        ),
      );
      const snapshot = build(world);
      const shown = rules(snapshot).map(({ match }) =>
        [
          match.path?.kind,
          match.path?.value,
          match.method ?? '',
          match.headers.map(({ name, value }) => `${name}=${value}`).join(),
          match.query.map(({ name }) => name).join(),
        ].join(' '),
      );
      assert.deepEqual(shown, [
        'exact /api   ',
        'regex /a.*   ',
        'prefix /api/v1/   ',
        'prefix /api   ',
        'prefix / GET  ',
        'prefix /  x-a=1,x-b=1 ',
        'prefix /  x-a=1 ',
        'prefix /   q',
      ]);
      assert.deepEqual(targets(rules(snapshot)[0]), ['9 shop/orders:80', '1 shop/orders-v2:80']);
      assert.deepEqual([...snapshot.clusters.keys()].sort(), [
        'bank/ledger:5432',
        'shop/orders-v2:80',
        'shop/orders:80',
      ]);
    });

    it('break ties by age, then by name', () => {
      const one = (name: string) => route(name, 'shop', '[{ backendRefs: [{ name: orders, port: 80 }] }]');
      const world = withResources(withResources(worldOf(shop), one('zeta')), one('alpha'));
      assert.deepEqual(
        rules(build(world)).map((rule) => rule.route),
        ['HTTPRoute shop/zeta #0', 'HTTPRoute shop/alpha #0'],
      );
    });

    it('answer a missing, portless or ungranted backend with a problem for its share', () => {
      const world = withResources(
        worldOf(shop),
        route(
          'split',
          'shop',
          '[{ backendRefs: [{ name: orders, port: 80 }, { name: ghost, port: 80, weight: 2 }, { name: orders, port: 81 }, { name: ledger, namespace: bank, port: 5432 }] }, { matches: [{ path: { value: /x } }] }]',
        ),
      );
      const [empty, split] = rules(build(world));
      assert.deepEqual(targets(split), [
        '1 shop/orders:80',
        '2 ! service shop/ghost does not exist',
        '1 ! service shop/orders has no port 81',
        '1 ! service bank/ledger is in another namespace and no ReferenceGrant there admits this route',
      ]);
      assert.deepEqual(targets(empty), ['1 ! the rule names no backend']);
    });

    it('reach another namespace where a ReferenceGrant admits it', () => {
      const grant = `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: { name: g, namespace: bank }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop }]
  to: [{ group: '', kind: Service, name: ledger }]
`;
      const rule = '[{ backendRefs: [{ name: ledger, namespace: bank, port: 5432 }] }]';
      const builder = createBuilder();
      const ungranted = withResources(worldOf(shop), route('r', 'shop', rule));
      assert.match(targets(rules(builder.build(ungranted, web))[0])[0] ?? '', /!/);
      const granted = withResources(ungranted, grant);
      assert.deepEqual(targets(rules(builder.build(granted, web))[0]), ['1 bank/ledger:5432']);
      const withdrawn = withoutResource(granted, 'ReferenceGrant', 'bank/g');
      assert.match(targets(rules(builder.build(withdrawn, web))[0])[0] ?? '', /!/);
    });

    it('of another namespace bind that namespace only, in place of the others', () => {
      const lab = `
apiVersion: heddle/v1
kind: Workload
metadata: { name: probe, namespace: lab }
spec: { calls: [{ service: orders.shop }] }
`;
      const producer = route('p', 'shop', '[{ backendRefs: [{ name: orders, port: 80 }] }]');
      const consumer = route('c', 'lab', '[{ backendRefs: [{ name: orders, namespace: shop, port: 80 }] }]');
      const world = [producer, consumer, lab].reduce(withResources, worldOf(shop));
      const builder = createBuilder();
      const names = (workload: string) =>
        rules(builder.build(world, { workload, node: 'one' })).map((rule) => rule.route);
      assert.deepEqual(names('shop/web'), ['HTTPRoute shop/p #0']);
      assert.deepEqual(names('lab/probe'), ['HTTPRoute lab/c #0']);
    });

    it('of gRPC match services and methods as paths', () => {
      const world = withResources(
        worldOf(shop),
        route(
          'g',
          'shop',
          `
    - matches:
        - { method: { service: a.B } }
        - { method: { service: a.B, method: Get } }
        - { method: { method: Get } }
      backendRefs: [{ name: orders, port: 80 }]
    - backendRefs: [{ name: orders-v2, port: 80 }]`,
          'GRPCRoute',
        ),
      );
      assert.deepEqual(
        rules(build(world)).map(({ match }) => match.path && `${match.path.kind} ${match.path.value}`),
        ['exact /a.B/Get', 'regex /[^/]+/Get', 'prefix /a.B', undefined],
      );
    });

    it('of TCP bind opaque ports only, and the oldest has all connections', () => {
      const tcp = (name: string, backend: string) => `
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: { name: ${name}, namespace: bank }
spec:
  parentRefs: [{ kind: Service, group: '', name: ledger }]
  rules: [{ backendRefs: [{ name: ${backend}, port: 5432 }] }]
`;
      const world = [tcp('old', 'ledger'), tcp('new', 'gone'), route('h', 'bank', '[{}]')].reduce(
        withResources,
        worldOf(shop),
      );
      assert.deepEqual(
        rules(build(world), 'bank/ledger').map((rule) => rule.route),
        ['TCPRoute bank/old #0'],
      );
    });

    it('of TLS choose by server name: exact ones, then the longest wildcard, then the rest', () => {
      const vault = `
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ name: web, port: 80, targetPort: http, appProtocol: https }] }
`;
      const tls = (name: string, hostnames: string) => `
apiVersion: gateway.networking.k8s.io/v1alpha3
kind: TLSRoute
metadata: { name: ${name}, namespace: shop }
spec:
  parentRefs: [{ kind: Service, group: '', name: orders }]
  hostnames: ${hostnames}
  rules: [{ backendRefs: [{ name: orders-v2, port: 80, weight: 3 }, { name: orders, port: 80, weight: 1 }] }]
`;
      const world = [vault, tls('a', '[]'), tls('b', '["*.x.y", "*.a.x.y", "b.x.y"]')].reduce(
        withResources,
        worldOf(shop),
      );
      const found = rules(build(world));
      assert.deepEqual(
        found.map(({ route: name, match }) => [name, match.serverName]),
        [
          ['TLSRoute shop/b #0', 'b.x.y'],
          ['TLSRoute shop/b #0', '*.a.x.y'],
          ['TLSRoute shop/b #0', '*.x.y'],
          ['TLSRoute shop/a #0', undefined],
        ],
      );
      assert.deepEqual(targets(found[0]), ['3 shop/orders-v2:80', '1 shop/orders:80']);
      assert.equal(build(world).services.get('shop/orders')?.ports[0]?.protocol, 'tls');
    });

    it('of requests leave the service itself in reach where its port is found out', () => {
      const open = `
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ name: web, port: 80, targetPort: http, protocol: detect }] }
`;
      const away = route('r', 'shop', '[{ backendRefs: [{ name: orders-v2, port: 80 }] }]');
      const snapshot = build([open, away].reduce(withResources, worldOf(shop)));
      assert.deepEqual(rules(snapshot).map(targets), [['1 shop/orders-v2:80']]);
      assert.ok(snapshot.clusters.has('shop/orders:80'));
    });

    it('of one port leave the others at their default', () => {
      const two = `
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ name: web, port: 80, targetPort: http }, { name: api, port: 81, targetPort: http }] }
`;
      const onApi = route('r', 'shop', '[{ backendRefs: [{ name: orders-v2, port: 80 }] }]').replace(
        'namespace: shop }]',
        'namespace: shop, sectionName: api }]',
      );
      const ports = build([two, onApi].reduce(withResources, worldOf(shop))).services.get(
        'shop/orders',
      )?.ports;
      assert.deepEqual(
        ports?.map((port) => port.rules.map((rule) => rule.route)),
        [['Service shop/orders'], ['HTTPRoute shop/r #0']],
      );
    });

    it('carry filters and timeouts in the sidecar’s terms', () => {
      const world = withResources(
        worldOf(shop),
        route(
          'f',
          'shop',
          `
    - filters:
        - { type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-A, value: b }], remove: [X-C] } }
        - { type: URLRewrite, urlRewrite: { hostname: h, path: { type: ReplacePrefixMatch, replacePrefixMatch: /n } } }
      backendRefs: [{ name: orders, port: 80 }]
      timeouts: { request: 1m, backendRequest: 500ms }
    - matches: [{ path: { value: /old } }]
      filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }]`,
        ),
      );
      const [redirect, plain] = rules(build(world));
      assert.deepEqual(plain?.filters, [
        { kind: 'request_headers', set: [{ name: 'x-a', value: 'b' }], add: [], remove: ['x-c'] },
        { kind: 'rewrite', hostname: 'h', path: { kind: 'prefix', value: '/n' } },
      ]);
      assert.deepEqual(plain?.timeouts, { requestMs: 60_000, backendRequestMs: 500 });
      assert.deepEqual(redirect?.filters, [
        {
          kind: 'redirect',
          scheme: 'https',
          hostname: undefined,
          port: undefined,
          path: undefined,
          status: 302,
        },
      ]);
      assert.deepEqual(redirect?.backends, []);
    });
  });

  describe('clusters', () => {
    const policy = (name: string, spec: string) => `
apiVersion: heddle/v1
kind: TrafficPolicy
metadata: { name: ${name}, namespace: shop }
spec: { targetRef: { name: orders${spec} }
`;
    it('have what the TrafficPolicy of their port says, else that of their service, else the standard', () => {
      const general = policy('a', ' }, timeouts: { request: 10s }, retry: { attempts: 0 }');
      const ofPort = policy('b', ', sectionName: web }, limits: { maxConnections: 7 }');
      const cluster = (...texts: string[]) =>
        build(texts.reduce(withResources, worldOf(shop))).clusters.get('shop/orders:80');
      assert.deepEqual(cluster()?.timeouts, {
        connectMs: 5000,
        requestMs: 0,
        idleMs: 300_000,
        detectMs: 5000,
      });
      assert.equal(cluster()?.retry.attempts, 1);
      assert.equal(cluster(general)?.timeouts.requestMs, 10_000);
      assert.equal(cluster(general)?.retry.attempts, 0);
      assert.equal(cluster(general, ofPort)?.timeouts.requestMs, 0);
      assert.equal(cluster(general, ofPort)?.limits.maxConnections, 7);
    });
  });

  describe('policies', () => {
    it('bind the selected workloads as receivers, each pair of from and to being a rule', () => {
      const policies = `
apiVersion: heddle/v1
kind: AuthorizationPolicy
metadata: { name: readers, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  rules:
    - from: [{ source: { principals: [mesh.local/ns/shop/sa/a, '*'] } }, { source: { namespaces: [lab] } }]
      to: [{ operation: { methods: [GET], paths: [/a, /b*], ports: ['8080'] } }]
---
apiVersion: heddle/v1
kind: AuthorizationPolicy
metadata: { name: nobody, namespace: shop }
spec: { action: DENY }
---
apiVersion: heddle/v1
kind: AuthorizationPolicy
metadata: { name: others, namespace: shop }
spec: { selector: { matchLabels: { app: orders } } }
`;
      const snapshot = build(withResources(worldOf(shop), policies));
      assert.deepEqual(snapshot.self.policies, ['shop/nobody', 'shop/readers']);
      assert.deepEqual(snapshot.policies.get('shop/nobody'), {
        name: 'shop/nobody',
        action: 'deny',
        rules: [],
      });
      const common = {
        methods: ['GET'],
        paths: [
          { kind: 'exact', value: '/a' },
          { kind: 'prefix', value: '/b' },
        ],
        ports: [8080],
      };
      assert.deepEqual(snapshot.policies.get('shop/readers')?.rules, [
        { principals: ['spiffe://mesh.local/ns/shop/sa/a', '*'], namespaces: [], ...common },
        { principals: [], namespaces: ['lab'], ...common },
      ]);
    });

    it('set the mode of mTLS by port, then workload, then namespace', () => {
      const peer = (name: string, spec: string) => `
apiVersion: heddle/v1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: shop }
spec: ${spec}
`;
      const modes = (...texts: string[]) =>
        build(texts.reduce(withResources, worldOf(shop))).self.inbound.map((port) => port.mtls);
      const namespace = peer('n', '{ mtls: { mode: PERMISSIVE } }');
      const own = peer(
        'w',
        '{ selector: { matchLabels: { app: web } }, portLevelMtls: { 7000: { mode: PERMISSIVE } } }',
      );
      assert.deepEqual(modes(), ['strict', 'strict']);
      assert.deepEqual(modes(namespace), ['permissive', 'permissive']);
      assert.deepEqual(modes(namespace, own), ['strict', 'permissive']);
    });
  });

  describe('endpoints', () => {
    const running = () =>
      withInstances(worldOf(shop), ['shop/orders-v1.0@one', 'shop/orders-v2.0@two', 'shop/web.0@one']);

    it('are the instances of the selected workloads, on their links', () => {
      const set = build(running()).endpoints.get('shop/orders:80');
      assert.deepEqual(
        set?.endpoints.map(({ id, identity, transport, port, targetPort, network, state }) => [
          id,
          identity,
          transport,
          port,
          targetPort,
          network,
          state,
        ]),
        [
          [
            'shop/orders-v1.0@one',
            'spiffe://mesh.local/ns/shop/sa/orders',
            'link',
            15000,
            3000,
            'lan',
            'ready',
          ],
          [
            'shop/orders-v2.0@two',
            'spiffe://mesh.local/ns/shop/sa/orders',
            'link',
            15000,
            3001,
            'lan',
            'ready',
          ],
        ],
      );
    });

    it('are unknown where their node is silent, and absent where no sidecar listens', () => {
      const world = running();
      const silent = { ...world, nodes: new Map(world.nodes).set('two', nodeOf('two', { alive: false })) };
      const half = withInstances(silent, ['shop/orders-v1.0@one'], { linkPort: 0 });
      const set = build(half).endpoints.get('shop/orders:80');
      assert.deepEqual(
        set?.endpoints.map(({ id, state }) => [id, state]),
        [['shop/orders-v2.0@two', 'unknown']],
      );
    });

    it('come from ServiceInstances as well', () => {
      const [endpoint] = build(worldOf(shop)).endpoints.get('bank/ledger:5432')?.endpoints ?? [];
      assert.deepEqual(
        [endpoint?.id, endpoint?.transport, endpoint?.identity, endpoint?.port, endpoint?.addresses],
        ['bank/ledger-1', 'plain', '', 6432, ['10.9.9.9']],
      );
    });

    it('touch nothing else when they change, and only their own version', () => {
      const builder = createBuilder({ firstEndpointVersion: 100 });
      const before = builder.build(running(), web);
      const after = builder.build(withInstances(running(), ['shop/orders-v1.1@one']), web);
      assert.equal(after.self, before.self);
      for (const [name, part] of before.services) assert.equal(after.services.get(name), part, name);
      for (const [name, part] of before.clusters) assert.equal(after.clusters.get(name), part, name);
      assert.equal(after.endpoints.get('bank/ledger:5432'), before.endpoints.get('bank/ledger:5432'));
      const [old, changed] = [before, after].map((snapshot) => snapshot.endpoints.get('shop/orders:80'));
      assert.ok(
        old !== undefined && changed !== undefined && changed.version > old.version && old.version >= 100,
      );
      assert.equal(changed.endpoints.length, 3);
    });
  });
});
