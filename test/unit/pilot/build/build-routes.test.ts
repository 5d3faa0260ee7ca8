import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBuilder } from '../../../../pilot/build/build.ts';
import { build, route, rules, shop, targets, web } from '../../../support/shop-world.ts';
import { withoutResource, withResources, worldOf } from '../../../support/world.ts';

describe('routes in a snapshot', () => {
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
    const ports = build([two, onApi].reduce(withResources, worldOf(shop))).services.get('shop/orders')?.ports;
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
