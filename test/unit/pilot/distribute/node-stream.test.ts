import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { silentLog } from '../../../../kit/log.ts';
import { createBuilder } from '../../../../pilot/build/build.ts';
import { affectedClusters } from '../../../../pilot/distribute/affected.ts';
import { NodeStream } from '../../../../pilot/distribute/node-stream.ts';
import { createPlanner } from '../../../../pilot/distribute/planner.ts';
import type { World } from '../../../../pilot/world/world.ts';
import { programProtocol, sidecarFeatures } from '../../../../proto/protocol.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { isSameSnapshot, ScriptedAgent } from '../../../support/scripted-agent.ts';
import { nodeOf, withInstances, withoutResource, withResources, worldOf } from '../../../support/world.ts';

const shop = `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { node: one, replicas: 2, command: [node, web.js], ports: [{ name: http, port: 8080 }], calls: [{ service: orders }] }
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders, namespace: shop, labels: { app: orders } }
spec: { node: two, ports: [{ name: http, port: 3000 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: pricing, namespace: shop }
spec: { selector: { app: pricing }, ports: [{ port: 80 }] }
`;

const guard = `
apiVersion: heddle/v1
kind: AuthorizationPolicy
metadata: { name: guard, namespace: shop }
spec: { selector: { matchLabels: { app: web } }, action: DENY, rules: [{ to: [{ operation: { methods: [DELETE] } }] }] }
`;

const route = (path: string) => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: split, namespace: shop }
spec:
  parentRefs: [{ kind: Service, group: '', name: orders }]
  rules:
    - matches: [{ path: { type: PathPrefix, value: ${path} } }]
      backendRefs: [{ name: pricing, port: 80 }]
`;

const first = 'shop/web.0@one';
const second = 'shop/web.1@one';

function shopWorld(): World {
  const world = worldOf(shop);
  return withInstances({ ...world, nodes: new Map([['one', nodeOf('one')]]) }, ['shop/orders.0@two']);
}

/** A pilot's end and an agent's end of one stream, without a wire. */
function bench(world = shopWorld(), agent = new ScriptedAgent('one')) {
  const builder = createBuilder();
  const planner = createPlanner(builder);
  const clock = new FakeClock(Date.now());
  let current = world;
  const open = () =>
    new NodeStream({
      node: 'one',
      pilot: 'p',
      plan: planner.planFor(current),
      trustBundle: 'ROOTS',
      clock,
      log: silentLog,
      // In turns, as messages over a wire come: neither end is called from within its own call.
      send: (response) => queue.push(() => agent.receive(response)),
    });
  const queue: (() => void)[] = [];
  const settle = () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) next();
  };
  let stream = open();
  const bound = {
    agent,
    get stream() {
      return stream;
    },
    connect() {
      const mine = stream;
      agent.connect((request) => queue.push(() => mine.receive(request)));
      settle();
    },
    /** The connection breaks and is made again. */
    reconnect() {
      queue.length = 0;
      agent.received.length = 0;
      stream = open();
      bound.connect();
    },
    act(what: () => void) {
      what();
      settle();
    },
    change(next: World) {
      current = next;
      bound.act(() => stream.update(planner.planFor(next)));
    },
    changeEndpoints(next: World, instances: readonly string[]) {
      const clusters = affectedClusters(next, current, { nodes: new Set(), instances: new Set(instances) });
      current = next;
      bound.act(() => stream.updateEndpoints(planner.planFor(next), clusters));
    },
    expected(node = 'one') {
      return builder.build(current, { workload: 'shop/web', node });
    },
  };
  return bound;
}

describe('NodeStream', () => {
  it('tells an agent who it is, what it trusts and runs, and each sidecar its snapshot', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    assert.deepEqual(
      b.agent.received.map((message) => message.kind),
      ['hello', 'trust', 'placement', 'parts', 'endpoints', 'manifest'],
    );
    assert.ok(isSameSnapshot(b.agent.snapshot(first), b.expected()));
    const [placement] = b.agent.of('placement');
    assert.deepEqual(
      placement?.placement.workloads.map(({ workload, replicas, command }) => [workload, replicas, command]),
      [['web', 2, ['node', 'web.js']]],
    );
    assert.deepEqual(b.stream.status(), [
      { sidecar: first, node: 'one', acked: { epoch: 1, revision: 2 }, pending: undefined, nack: undefined },
    ]);
  });

  it('sends a part once however many sidecars of the node need it', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.act(() => b.agent.subscribe(second));
    const sent = b.agent.of('parts').flatMap((message) => message.parts.map((part) => part.hash));
    assert.equal(new Set(sent).size, sent.length);
    assert.equal(b.agent.of('endpoints').length, 1);
    assert.ok(isSameSnapshot(b.agent.snapshot(second), b.expected()));
  });

  it('pushes nothing where a change leaves a sidecar’s content as it was', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.agent.received.length = 0;
    b.change(withResources(shopWorld(), shop.replaceAll('pricing', 'weather')));
    assert.deepEqual(b.agent.received, []);
    assert.equal(b.stream.status()[0]?.acked?.revision, 3);
  });

  it('sends only the parts that changed', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.agent.received.length = 0;
    b.change(withResources(shopWorld(), guard));
    const parts = b.agent.of('parts').flatMap((message) => message.parts.map((part) => part.kind));
    assert.deepEqual(parts.sort(), ['policy', 'self']);
    assert.ok(isSameSnapshot(b.agent.snapshot(first), b.expected()));
  });

  it('sends a change of endpoints as a delta, without a manifest', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.agent.received.length = 0;
    b.changeEndpoints(withInstances(shopWorld(), ['shop/orders.1@two', 'shop/orders.2@two']), [
      'shop/orders.1@two',
      'shop/orders.2@two',
    ]);
    const [update, ...more] = b.agent.received;
    assert.ok(update?.kind === 'endpoints' && more.length === 0);
    assert.deepEqual(
      b.agent
        .snapshot(first)
        ?.endpoints.get('shop/orders:80')
        ?.endpoints.map(({ id }) => id),
      ['shop/orders.0@two', 'shop/orders.1@two', 'shop/orders.2@two'],
    );
    b.agent.received.length = 0;
    b.changeEndpoints(
      withInstances(withInstances(shopWorld(), ['shop/orders.1@two', 'shop/orders.2@two']), [
        'shop/orders.3@two',
      ]),
      ['shop/orders.3@two'],
    );
    const [delta] = b.agent.of('endpoints').flatMap((message) => message.update.deltas);
    assert.deepEqual(
      delta?.upserts.map(({ id }) => id),
      ['shop/orders.3@two'],
    );
  });

  it('has one round of endpoint changes under way and merges what comes meanwhile', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.agent.received.length = 0;
    b.agent.confirmsEndpoints = false;
    let world = shopWorld();
    for (const index of [1, 2, 3, 4]) {
      world = withInstances(world, [`shop/orders.${index}@two`]);
      b.changeEndpoints(world, [`shop/orders.${index}@two`]);
    }
    const [one, ...none] = b.agent.of('endpoints');
    assert.ok(one !== undefined && none.length === 0);
    b.agent.confirmsEndpoints = true;
    b.act(() => b.agent.say({ kind: 'endpoint_ack', push: one.push }));
    assert.equal(b.agent.of('endpoints').length, 2);
    assert.equal(b.agent.snapshot(first)?.endpoints.get('shop/orders:80')?.endpoints.length, 5);
  });

  it('sends a whole set where the agent lacks the base', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.act(() => b.agent.say({ kind: 'want_endpoints', clusters: ['shop/orders:80', 'other/one:1'] }));
    assert.deepEqual(
      b.agent
        .of('endpoints')
        .at(-1)
        ?.update.sets.map(({ cluster }) => cluster),
      ['shop/orders:80'],
    );
  });

  it('sends a part again where the agent lost it', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    const [part] = b.agent.of('parts')[0]?.parts ?? [];
    assert.ok(part);
    b.agent.received.length = 0;
    b.act(() => b.agent.say({ kind: 'want_parts', hashes: [part.hash, 'ab'.repeat(32)] }));
    assert.deepEqual(
      b.agent.of('parts').flatMap((message) => message.parts),
      [part],
    );
  });

  it('has one manifest under way for a sidecar and merges what comes meanwhile', () => {
    const b = bench();
    b.connect();
    b.agent.verdict = () => 'silence';
    b.act(() => b.agent.subscribe(first));
    const [push] = b.agent.of('manifest');
    assert.ok(push);
    b.change(withResources(shopWorld(), route('/a')));
    b.change(withResources(withResources(shopWorld(), route('/a')), route('/b')));
    assert.equal(b.agent.of('manifest').length, 1);
    assert.equal(b.stream.status()[0]?.pending?.version.revision, 2);
    b.agent.verdict = () => 'ack';
    b.act(() =>
      b.agent.say({ kind: 'ack', sidecar: first, push: push.push, version: push.manifest.version }),
    );
    assert.equal(b.agent.of('manifest').length, 2);
    assert.ok(isSameSnapshot(b.agent.snapshot(first), b.expected()));
  });

  it('keeps a refusal with its reasons and does not repeat what was refused', () => {
    const b = bench();
    b.connect();
    const problems = [{ path: 'service[shop/orders]', message: 'does not compile' }];
    b.agent.verdict = () => problems;
    b.act(() => b.agent.subscribe(first));
    const [status] = b.stream.status();
    assert.equal(status?.acked, undefined);
    assert.deepEqual(status?.nack?.problems, problems);
    b.change(withResources(shopWorld(), shop.replaceAll('pricing', 'weather')));
    assert.equal(b.agent.of('manifest').length, 1);
    b.agent.verdict = () => 'ack';
    b.change(withResources(shopWorld(), route('/a')));
    assert.equal(b.agent.of('manifest').length, 2);
    assert.equal(b.stream.status()[0]?.nack, undefined);
  });

  it('withholds a configuration from a sidecar that lacks a feature of it, and says so', () => {
    const b = bench();
    b.connect();
    b.act(() =>
      b.agent.subscribe(
        first,
        [],
        sidecarFeatures.filter((feature) => feature !== 'authorization.deny'),
      ),
    );
    assert.equal(b.agent.of('manifest').length, 1);
    b.change(withResources(shopWorld(), guard));
    assert.equal(b.agent.of('manifest').length, 1);
    assert.equal(
      b.agent
        .of('parts')
        .flatMap(({ parts }) => parts)
        .filter(({ kind }) => kind === 'policy').length,
      0,
    );
    const [status] = b.stream.status();
    assert.equal(status?.acked?.revision, 2);
    assert.match(status?.pending?.withheld ?? '', /authorization\.deny/);
  });

  it('refuses sidecars that are not placed on the node, now or any more', () => {
    const b = bench();
    b.connect();
    for (const id of ['shop/orders.0@two', 'shop/orders.0@one', 'shop/ghost.0@one', 'nonsense']) {
      b.act(() => b.agent.subscribe(id));
    }
    assert.deepEqual(
      b.agent.of('refused').map(({ sidecar }) => sidecar),
      ['shop/orders.0@two', 'shop/orders.0@one', 'shop/ghost.0@one', 'nonsense'],
    );
    b.act(() => b.agent.subscribe(first));
    b.change(withoutResource(shopWorld(), 'Workload', 'shop/web'));
    assert.deepEqual(b.agent.of('refused').at(-1)?.sidecar, first);
    assert.deepEqual(b.agent.of('placement').at(-1)?.placement.workloads, []);
    assert.deepEqual(b.stream.status(), []);
  });

  it('answers a name with its service after the manifest that holds it', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.agent.received.length = 0;
    b.act(() => b.agent.resolve(first, 'pricing'));
    const kinds = b.agent.received.map((message) => message.kind);
    assert.deepEqual(kinds.slice(-2), ['manifest', 'resolved']);
    assert.ok(b.agent.snapshot(first)?.services.has('shop/pricing'));
    b.act(() => b.agent.resolve(first, 'orderz'));
    assert.deepEqual(
      b.agent.of('resolved').map(({ answer }) => answer),
      [
        { kind: 'found', service: { namespace: 'shop', name: 'pricing' } },
        { kind: 'absent', suggestions: ['orders'] },
      ],
    );
  });

  it('answers a name that comes while a push is under way after the next one', () => {
    const b = bench();
    b.connect();
    b.agent.verdict = () => 'silence';
    b.act(() => b.agent.subscribe(first));
    const [push] = b.agent.of('manifest');
    assert.ok(push);
    b.act(() => b.agent.resolve(first, 'pricing'));
    assert.equal(b.agent.of('resolved').length, 0);
    b.agent.verdict = () => 'ack';
    b.act(() =>
      b.agent.say({ kind: 'ack', sidecar: first, push: push.push, version: push.manifest.version }),
    );
    assert.equal(b.agent.of('resolved').length, 1);
    assert.ok(b.agent.snapshot(first)?.services.has('shop/pricing'));
  });

  it('sends nothing again to an agent that comes back with what it holds', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.reconnect();
    assert.deepEqual(
      b.agent.received.map((message) => message.kind),
      ['hello', 'trust', 'placement'],
    );
    assert.equal(b.stream.status()[0]?.acked?.revision, 2);
    b.changeEndpoints(withInstances(shopWorld(), ['shop/orders.1@two']), ['shop/orders.1@two']);
    assert.equal(b.agent.snapshot(first)?.endpoints.get('shop/orders:80')?.endpoints.length, 2);
  });

  it('keeps endpoints current for a sidecar that refuses what it is sent, also over streams', () => {
    const b = bench();
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.agent.verdict = () => [{ path: 'service[shop/orders]', message: 'does not compile' }];
    const routed = withResources(shopWorld(), route('/a'));
    b.change(routed);
    b.reconnect();
    assert.equal(b.stream.status()[0]?.nack?.problems.length, 1);
    b.changeEndpoints(withInstances(routed, ['shop/orders.1@two']), ['shop/orders.1@two']);
    assert.equal(b.agent.snapshot(first)?.version.revision, 2);
    assert.equal(b.agent.snapshot(first)?.endpoints.get('shop/orders:80')?.endpoints.length, 2);
  });

  it('does not take a sidecar back where this pilot is behind', () => {
    const b = bench({ ...shopWorld(), version: { epoch: 1, revision: 9 } });
    b.connect();
    b.act(() => b.agent.subscribe(first));
    b.change(withResources({ ...shopWorld(), version: { epoch: 1, revision: 4 } }, guard));
    assert.equal(b.agent.of('manifest').length, 1);
    assert.match(b.stream.status()[0]?.pending?.withheld ?? '', /behind/);
  });

  it('ends a stream that does not begin with a hello, or with another node’s, or in another version', () => {
    const refused = (request: Parameters<NodeStream['receive']>[0], code: string) =>
      assert.throws(
        () => bench().stream.receive(request),
        (error) => error instanceof MeshError && error.code === code,
      );
    refused({ kind: 'unsubscribe', sidecar: first }, 'malformed_message');
    const hello = { kind: 'hello', node: 'one', bootId: 'b', parts: [], endpoints: [] } as const;
    refused({ ...hello, protocol: programProtocol, node: 'two' }, 'identity_refused');
    refused({ ...hello, protocol: { version: 99, features: [] } }, 'version_not_supported');
  });
});
