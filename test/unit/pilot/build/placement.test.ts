import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { identitiesOf, isPlacedOn, placed } from '../../../../pilot/build/placement.ts';
import { resolve } from '../../../../pilot/build/resolve.ts';
import { nodeOf, worldOf } from '../../../support/world.ts';

const workload = (name: string, spec: string) => `
apiVersion: heddle/v1
kind: Workload
metadata: { name: ${name}, namespace: shop }
spec: ${spec}
`;

const world = worldOf(
  [
    workload('named', '{ node: one, account: shared }'),
    workload('labelled', '{ nodeSelector: { disk: fast }, replicas: 2 }'),
    workload('everywhere', '{ nodeSelector: {} }'),
    workload('nowhere', '{}'),
    `
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { ports: [{ port: 80 }] }
`,
  ].join('---'),
  {
    nodes: new Map(
      [nodeOf('one'), nodeOf('two', { labels: { disk: 'fast' } })].map((node) => [node.name, node]),
    ),
  },
);

describe('placed', () => {
  const names = (node: string) => placed(world, node).map((each) => each.workload);
  it('goes by the name or the labels of the node', () => {
    assert.deepEqual(names('one'), ['everywhere', 'named']);
    assert.deepEqual(names('two'), ['everywhere', 'labelled']);
    assert.deepEqual(names('three'), []);
    assert.equal(isPlacedOn(world, 'shop', 'named', 'one'), true);
    assert.equal(isPlacedOn(world, 'shop', 'named', 'two'), false);
    assert.equal(isPlacedOn(world, 'shop', 'ghost', 'one'), false);
  });

  it('says which identities may be signed for a node', () => {
    assert.deepEqual(
      [...identitiesOf(world, 'one')],
      ['spiffe://mesh.local/ns/shop/sa/everywhere', 'spiffe://mesh.local/ns/shop/sa/shared'],
    );
  });
});

describe('resolve', () => {
  it('answers with the service or with those that may have been meant', () => {
    const orders = { namespace: 'shop', name: 'orders' };
    assert.deepEqual(resolve(world, 'orders', 'shop'), { service: orders });
    assert.deepEqual(resolve(world, 'orders.shop.mesh:80', 'lab'), { service: orders });
    assert.deepEqual(resolve(world, 'oders', 'shop'), { service: undefined, suggestions: ['orders'] });
    assert.deepEqual(resolve(world, 'orders', 'lab'), { service: undefined, suggestions: ['orders.shop'] });
  });
});
