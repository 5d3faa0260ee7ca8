/**
 * Worlds change resource by resource; a builder that lived through all of it gives what a fresh one gives,
 * and keeps every part that a change has nothing to do with.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Snapshot } from '../../mesh/model.ts';
import { createBuilder } from '../../pilot/build/build.ts';
import { catalogOf } from '../../pilot/build/catalog.ts';
import { hasConsumerRoutes } from '../../pilot/build/service-routes.ts';
import type { World } from '../../pilot/world/world.ts';
import { nodeOf, withInstances, withoutResource, withResources, worldOf } from '../support/world.ts';

const names = ['a', 'b', 'c'];
const name = fc.constantFrom(...names);
const namespace = fc.constantFrom('n', 'm');

type Change = (world: World) => World;

const resource = (kind: string, at: string, id: string, spec: object, apiVersion = 'heddle/v1'): Change => {
  const text = JSON.stringify({
    apiVersion,
    kind,
    metadata: { name: id, namespace: at, labels: { app: id } },
    spec,
  });
  return (world) => withResources(world, text);
};

const gateway = 'gateway.networking.k8s.io/v1';

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(namespace, name, fc.integer({ min: 1, max: 2 })).map(([at, id, count]) => {
    const ports = [80, 81].slice(0, count).map((port) => ({ port }));
    return resource('Service', at, id, { selector: { app: id }, ports });
  }),
  fc.tuple(namespace, name, name, fc.constantFrom('http', 'tcp')).map(([at, id, called, protocol]) =>
    resource('Workload', at, id, {
      node: 'one',
      ports: [{ port: 80, protocol }],
      calls: [{ service: `${called}.n` }, { service: `${called}.m`, port: 80 }],
    }),
  ),
  fc
    .tuple(namespace, name, namespace, name, namespace, name, fc.nat(3))
    .map(([at, id, parentAt, parent, backendAt, backend, weight]) =>
      resource(
        'HTTPRoute',
        at,
        id,
        {
          parentRefs: [{ kind: 'Service', group: '', namespace: parentAt, name: parent }],
          rules: [{ backendRefs: [{ namespace: backendAt, name: backend, port: 80, weight }] }],
        },
        gateway,
      ),
    ),
  fc.tuple(namespace, namespace).map(([at, from]) =>
    resource(
      'ReferenceGrant',
      at,
      'g',
      {
        from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: from }],
        to: [{ group: '', kind: 'Service' }],
      },
      gateway,
    ),
  ),
  fc
    .tuple(namespace, name, fc.integer({ min: 1, max: 9 }))
    .map(([at, id, seconds]) =>
      resource('TrafficPolicy', at, id, { targetRef: { name: id }, timeouts: { request: `${seconds}s` } }),
    ),
  fc
    .tuple(namespace, name, fc.boolean())
    .map(([at, id, all]) =>
      resource(
        'AuthorizationPolicy',
        at,
        id,
        all ? { rules: [{}] } : { selector: { matchLabels: { app: id } } },
      ),
    ),
  fc.tuple(namespace, name, fc.nat(2)).map(
    ([at, id, index]): Change =>
      (world) =>
        withInstances(world, [`${at}/${id}.${index}@one`]),
  ),
  fc.tuple(namespace, name, fc.nat(2)).map(
    ([at, id, index]): Change =>
      (world) => {
        const instances = new Map(world.instances);
        instances.delete(`${at}/${id}.${index}@one`);
        return { ...world, instances };
      },
  ),
  fc.boolean().map(
    (alive): Change =>
      (world) => ({ ...world, nodes: new Map(world.nodes).set('one', nodeOf('one', { alive })) }),
  ),
  fc.tuple(fc.constantFrom('Service', 'Workload', 'HTTPRoute', 'TrafficPolicy'), namespace, name).map(
    ([kind, at, id]): Change =>
      (world) =>
        withoutResource(world, kind, `${at}/${id}`),
  ),
);

const subscribers = ['n', 'm'].flatMap((at) => names.map((id) => ({ workload: `${at}/${id}`, node: 'one' })));

/** One caller in each namespace, so that every change can matter to somebody. */
const start = ['n', 'm'].reduce(
  (world, at) =>
    resource('Workload', at, 'a', {
      calls: ['n', 'm'].flatMap((to) => names.map((id) => ({ service: `${id}.${to}` }))),
    })(world),
  worldOf(''),
);

describe('a builder over many worlds', () => {
  it('gives what a fresh one gives', () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 40, size: 'max' }), (changes) => {
        const builder = createBuilder();
        let world = start;
        for (const apply of changes) {
          world = apply(world);
          for (const subscriber of present(world)) {
            const kept = builder.build(world, subscriber);
            assert.deepEqual(content(kept), content(createBuilder().build(world, subscriber)));
            assert.equal(builder.build(world, subscriber).self, kept.self);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('keeps every part whose content did not change', () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 2, maxLength: 40, size: 'max' }), (changes) => {
        const builder = createBuilder();
        const parts: Seen = new Map();
        let world = start;
        for (const apply of changes) {
          world = apply(world);
          const ids = present(world).flatMap((subscriber) =>
            checkKept(parts, world, builder.build(world, subscriber)),
          );
          // What was gone in between may come back as another object.
          const here = new Set(ids);
          for (const id of parts.keys()) if (!here.has(id)) parts.delete(id);
        }
      }),
      { numRuns: 100 },
    );
  });
});

type Seen = Map<string, { readonly text: string; readonly part: unknown }>;

/** A part that reads as it did when it was last seen is the same object. Returns which there are. */
function checkKept(parts: Seen, world: World, snapshot: Snapshot): string[] {
  const now = partsOf(world, snapshot);
  for (const [id, part] of now) {
    const text = JSON.stringify(part);
    const last = parts.get(id);
    if (last?.text === text) assert.equal(part, last.part, id);
    parts.set(id, { text, part });
  }
  return now.map(([id]) => id);
}

function present(world: World) {
  return subscribers.filter(({ workload }) => world.resources.get('Workload')?.has(workload));
}

/** Without the versions of endpoint sets, which count a builder's own history. */
function content(snapshot: Snapshot): unknown {
  const endpoints = Array.from(snapshot.endpoints, ([cluster, set]) => [cluster, set.endpoints]);
  return { ...snapshot, endpoints };
}

/** Routes of a consumer's own are another part than those for everybody, also where both read alike. */
function partsOf(world: World, snapshot: Snapshot): [string, unknown][] {
  const { self, services, clusters, policies } = snapshot;
  const consumerOf = (key: string) =>
    hasConsumerRoutes(catalogOf(world), key, self.namespace) ? self.namespace : 'all';
  return [
    [`self ${self.namespace}/${self.workload}`, self],
    ...Array.from(services, ([key, part]): [string, unknown] => [
      `routes ${key} for ${consumerOf(key)}`,
      part,
    ]),
    ...Array.from(clusters, ([key, part]): [string, unknown] => [`cluster ${key}`, part]),
    ...Array.from(policies, ([key, part]): [string, unknown] => [`policy ${key}`, part]),
  ];
}
