import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { subsetFor, subsetLimits } from '../../../../sidecar/cluster/subset.ts';

const { maxLinkedEndpoints } = subsetLimits;

const hosts = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ endpoint: { id: `shop/orders.${at}@n` } }));

describe('subsetFor', () => {
  it('leaves a small cluster whole', () => {
    const all = hosts(maxLinkedEndpoints);
    assert.equal(subsetFor('a', all), all);
  });

  it('gives a caller the same endpoints whatever their order', () => {
    const all = hosts(500);
    const ids = (list: readonly { endpoint: { id: string } }[]) =>
      list.map(({ endpoint }) => endpoint.id).sort();
    assert.deepEqual(ids(subsetFor('web.0', all)), ids(subsetFor('web.0', all.toReversed())));
    assert.equal(subsetFor('web.0', all).length, maxLinkedEndpoints);
  });

  it('spreads callers over all endpoints', () => {
    const all = hosts(200);
    const callers = new Map<string, number>();
    for (let caller = 0; caller < 1000; caller++) {
      for (const { endpoint } of subsetFor(`shop/web.${caller}@n`, all)) {
        callers.set(endpoint.id, (callers.get(endpoint.id) ?? 0) + 1);
      }
    }
    const counts = [...callers.values()];
    assert.equal(counts.length, all.length);
    const mean = (1000 * maxLinkedEndpoints) / 200;
    const sixDeviations = 6 * Math.sqrt(mean);
    assert.ok(
      Math.min(...counts) > mean - sixDeviations && Math.max(...counts) < mean + sixDeviations,
      `${Math.min(...counts)}…${Math.max(...counts)}`,
    );
  });

  it('changes one endpoint at most for a caller when one is added', () => {
    const before = new Set(subsetFor('web.0', hosts(100)).map(({ endpoint }) => endpoint.id));
    const added = subsetFor('web.0', hosts(101)).filter(({ endpoint }) => !before.has(endpoint.id));
    assert.ok(added.length <= 1);
  });
});
