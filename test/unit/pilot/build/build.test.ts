import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { createBuilder } from '../../../../pilot/build/build.ts';
import { build, rules, shop, targets, web } from '../../../support/shop-world.ts';
import { nodeOf, withInstances, withResources, worldOf } from '../../../support/world.ts';

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
