import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EndpointSet, Snapshot } from '../../../mesh/model.ts';
import { Assembler } from '../../../proto/assembler.ts';
import { endpointDelta } from '../../../proto/endpoints.ts';
import { manifestOf, partsOf } from '../../../proto/part.ts';
import { clusterOf, endpointOf, selfOf, snapshotFor } from '../../support/model.ts';

const cluster = clusterOf({ namespace: 'shop', name: 'orders' }, 80);

function setOf(version: number, ...ids: string[]): EndpointSet {
  return { cluster: cluster.name, version, endpoints: ids.map((id) => endpointOf(id)) };
}

function snapshotAt(revision: number, account = 'web'): Snapshot {
  const clusters = new Map([[cluster.name, cluster]]);
  return snapshotFor(selfOf('shop', 'web', { account }), { version: { epoch: 1, revision }, clusters });
}

function begun(): Assembler {
  const assembler = new Assembler();
  const snapshot = snapshotAt(5);
  assembler.addParts(partsOf(snapshot));
  assembler.addEndpoints({ sets: [setOf(1, 'a')], deltas: [] });
  assembler.offer(1, manifestOf(snapshot.version, partsOf(snapshot)));
  assert.equal(assembler.assemble().kind, 'snapshot');
  assert.ok(assembler.accept(1));
  return assembler;
}

describe('Assembler', () => {
  it('waits for parts and for the endpoint sets of the clusters, and names them', () => {
    const assembler = new Assembler();
    const snapshot = snapshotAt(5);
    const parts = partsOf(snapshot);
    assembler.offer(1, manifestOf(snapshot.version, parts));
    const waiting = assembler.assemble();
    assert.ok(waiting.kind === 'waiting');
    assert.deepEqual(waiting.missing, { parts: parts.map((part) => part.hash), endpoints: [cluster.name] });
  });

  it('applies endpoint changes to the snapshot in force without a manifest', () => {
    const assembler = begun();
    const applied = assembler.addEndpoints({
      sets: [],
      deltas: [endpointDelta(setOf(1, 'a'), setOf(2, 'a', 'b'))],
    });
    assert.deepEqual(applied.changed, [cluster.name]);
    assert.deepEqual(applied.snapshot?.endpoints.get(cluster.name), setOf(2, 'a', 'b'));
    assert.equal(applied.snapshot?.clusters, assembler.active?.clusters);
  });

  it('asks for the whole set where a delta has another base', () => {
    const applied = begun().addEndpoints({ sets: [], deltas: [endpointDelta(setOf(7), setOf(8, 'b'))] });
    assert.deepEqual(applied, { snapshot: undefined, changed: [], wanted: [cluster.name] });
  });

  it('refuses a lower version and keeps what is in force; the same version may carry more', () => {
    const assembler = begun();
    const older = snapshotAt(4);
    assembler.offer(2, manifestOf(older.version, partsOf(older)));
    const refused = assembler.assemble();
    assert.ok(refused.kind === 'refused' && refused.push === 2);
    assert.deepEqual(refused.problems, [
      { path: 'version', message: 'older than the version in force (1.4 after 1.5)' },
    ]);
    assert.equal(assembler.active?.version.revision, 5);
    const same = snapshotAt(5, 'other');
    assembler.addParts(partsOf(same));
    assembler.offer(3, manifestOf(same.version, partsOf(same)));
    assert.equal(assembler.assemble().kind, 'snapshot');
    assert.equal(assembler.accept(3)?.self.account, 'other');
  });

  it('refuses a workload whose policy is missing, for that would admit what the policy denies', () => {
    const assembler = new Assembler();
    const plain = snapshotAt(1);
    const snapshot: Snapshot = { ...plain, self: { ...plain.self, policies: ['shop/guard'] } };
    assembler.addParts(partsOf(snapshot));
    assembler.addEndpoints({ sets: [setOf(1)], deltas: [] });
    assembler.offer(1, manifestOf(snapshot.version, partsOf(snapshot)));
    const refused = assembler.assemble();
    assert.ok(refused.kind === 'refused');
    assert.deepEqual(refused.problems, [{ path: 'policy[shop/guard]', message: 'missing' }]);
    assert.equal(assembler.active, undefined);
  });

  it('takes the newest of two manifests that wait', () => {
    const assembler = begun();
    assembler.offer(2, manifestOf({ epoch: 1, revision: 6 }, partsOf(snapshotAt(6, 'lost'))));
    const next = snapshotAt(7, 'next');
    assembler.addParts(partsOf(next));
    assembler.offer(3, manifestOf(next.version, partsOf(next)));
    const assembled = assembler.assemble();
    assert.ok(assembled.kind === 'snapshot' && assembled.push === 3);
    assert.equal(assembler.accept(2), undefined);
    assert.equal(assembler.accept(3)?.self.account, 'next');
  });
});
