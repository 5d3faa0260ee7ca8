import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import type { InstanceReport, NodeFacts } from '../../../../mesh/placement.ts';
import { openEmbeddedStore } from '../../../../pilot/store/embedded.ts';
import type { Store, StoreEvent } from '../../../../pilot/store/store.ts';
import { createChangeApplier } from '../../../../pilot/world/apply-changes.ts';
import { fold, foldListing } from '../../../../pilot/world/fold.ts';
import { graceMs } from '../../../../pilot/world/liveness.ts';
import { createNodeReports, nodeLeaseMs } from '../../../../pilot/world/node-reports.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { tempFolder } from '../../../support/temp-folder.ts';
import { liveWorld, note } from '../../../support/worlds.ts';

guardLeaks();

async function storeIn(t: TestContext, folder = tempFolder(t), clock?: FakeClock): Promise<Store> {
  const path = join(folder, 'pilot.db');
  const store = await openEmbeddedStore(clock === undefined ? { path } : { path, clock });
  defer(t, () => store.close());
  return store;
}

const facts = (node: string, bootId = 'boot-1'): NodeFacts => ({
  node,
  labels: { rack: 'r1' },
  addresses: ['10.0.0.1'],
  network: 'default',
  locality: { region: 'r', zone: 'z' },
  bootId,
});

const instance = (id: string, state: InstanceReport['state'] = 'ready'): InstanceReport => ({
  id,
  namespace: 'shop',
  workload: 'web',
  index: 0,
  state,
  reason: '',
  addresses: ['10.0.0.1'],
  linkPort: 15008,
  ports: [],
  features: [],
  restarts: 0,
});

const report = (sequence: number, instances: InstanceReport[], more = {}) => ({
  node: 'n1',
  bootId: 'boot-1',
  sequence,
  scope: 'all' as const,
  instances,
  gone: [],
  ...more,
});

const isConflict = (thrown: unknown) => thrown instanceof MeshError && thrown.code === 'conflict';

describe('node reports', () => {
  it('become records of the World, and touch nothing else of it', async (t) => {
    const store = await storeIn(t);
    const clock = new FakeClock();
    const live = await liveWorld(t, store);
    const reports = createNodeReports(store, clock);
    await reports.reportNode(facts('n1'), 1);
    await reports.reportInstances(report(2, [instance('shop/web.0@n1'), instance('shop/web.1@n1')]));
    await eventually(() => live.current.instances.size === 2);
    assert.equal(live.current.nodes.get('n1')?.alive, true);
    assert.equal(live.current.instances.get('shop/web.0@n1')?.node, 'n1');
    const before = live.current;
    const changed: string[] = [];
    live.subscribe((_, change) => changed.push(...change.instances, ...change.resources, ...change.nodes));
    await reports.reportInstances(
      report(3, [instance('shop/web.1@n1', 'draining')], { scope: 'some', gone: ['shop/web.0@n1'] }),
    );
    await eventually(() => live.current.instances.size === 1);
    assert.equal(live.current.instances.get('shop/web.1@n1')?.state, 'draining');
    assert.equal(live.current.version, before.version);
    assert.equal(live.current.resources, before.resources);
    assert.deepEqual(new Set(changed), new Set(['shop/web.0@n1', 'shop/web.1@n1']));
  });

  it('are refused from an old sequence, an earlier boot, or a node without facts', async (t) => {
    const store = await storeIn(t);
    const reports = createNodeReports(store, new FakeClock());
    await assert.rejects(reports.reportInstances(report(1, [])), isConflict);
    await reports.reportNode(facts('n1'), 5);
    await reports.reportInstances(report(6, [instance('shop/web.0@n1')]));
    await assert.rejects(reports.reportInstances(report(6, [])), isConflict);
    await assert.rejects(reports.reportNode(facts('n1'), 5), isConflict);
    await reports.reportNode(facts('n1', 'boot-2'), 1);
    await assert.rejects(reports.reportInstances(report(7, [])), isConflict);
    await assert.rejects(reports.reportNode(facts('n1', 'boot-1'), 99), isConflict);
    await reports.reportInstances(report(1, [], { bootId: 'boot-2' }));
  });

  it('keep a node alive by heartbeats; a silent one is unknown after the grace, and alive when it speaks', async (t) => {
    const clock = new FakeClock();
    const store = await storeIn(t, undefined, clock);
    const live = await liveWorld(t, store, { clock });
    const reports = createNodeReports(store, clock);
    for (const node of ['n1', 'n2']) {
      await reports.reportNode(facts(node), 1);
      await reports.heartbeat(node);
    }
    const beatFor = async (forMs: number, nodes: readonly string[]): Promise<void> => {
      for (let passed = 0; passed < forMs; passed += 5_000) {
        await clock.advanceSlowly(5_000);
        for (const node of nodes) await reports.heartbeat(node);
      }
    };
    await beatFor(graceMs * 2, ['n1', 'n2']);
    assert.deepEqual(
      [...live.current.nodes.values()].map((node) => node.alive),
      [true, true],
    );
    await beatFor(nodeLeaseMs + 5_000, ['n1']);
    assert.equal(live.current.nodes.get('n2')?.alive, false);
    assert.equal(live.current.nodes.get('n1')?.alive, true);
    await reports.heartbeat('n2');
    await clock.advanceSlowly(1_000);
    assert.equal(live.current.nodes.get('n2')?.alive, true);
    // All heartbeats stop, as when every agent loses its way to the pilots: one node at most is given up.
    await clock.advanceSlowly(10 * 60_000);
    assert.equal([...live.current.nodes.values()].filter((node) => !node.alive).length, 1);
    assert.equal(await reports.removeNode('n2'), true);
    await eventually(() => !live.current.nodes.has('n2'));
    assert.equal(await reports.removeNode('n2'), false);
  });
});

describe('epochs', () => {
  it('stay over a restart, and grow for a copy put back and at an operator’s word', async (t) => {
    const folder = tempFolder(t);
    const path = join(folder, 'pilot.db');
    const epochNow = async (options = {}): Promise<number> => {
      const store = await openEmbeddedStore({ path });
      try {
        const live = await liveWorld(t, store, options);
        const { epoch } = live.current.version;
        live.close();
        return epoch;
      } finally {
        await store.close();
      }
    };
    const first = await epochNow();
    assert.equal(await epochNow(), first);
    const second = await epochNow({ newEpoch: true });
    assert.ok(second > first);
    assert.equal(await epochNow(), second);
    copyFileSync(path, join(folder, 'copy.db'));
    rmSync(path);
    copyFileSync(join(folder, 'copy.db'), path);
    assert.ok((await epochNow()) > second);
  });
});

describe('openLiveWorld', () => {
  it('lists again after the history was compacted under it, and tells only what differs', async (t) => {
    const store = await storeIn(t);
    let onReset: ((reason: Error) => void) | undefined;
    const flaky: Store = {
      ...methodsOf(store),
      watch(prefix, fromRevision, watcher) {
        onReset = watcher.onReset.bind(watcher);
        // Deaf: everything that happens meanwhile is missed.
        return store.watch(prefix, fromRevision, { onEvents: () => {}, onReset: () => {} });
      },
    };
    const writer = await liveWorld(t, store);
    const { apply } = createChangeApplier(store, writer, new FakeClock());
    await apply([note('a', '1'), note('b', '1')].map((resource) => ({ kind: 'put', resource })));
    const live = await liveWorld(t, flaky);
    const changed: string[] = [];
    live.subscribe((_, change) => changed.push(...change.resources));
    await apply([{ kind: 'put', resource: note('b', '2') }]);
    onReset?.(new MeshError('compacted', 'gone', { origin: 'upstream' }));
    await eventually(() => live.current.version.revision === 2);
    assert.deepEqual(changed, ['Note shop/b']);
  });

  it('keeps the last good World where the store lost everything', async (t) => {
    const store = await storeIn(t);
    let onReset: ((reason: Error) => void) | undefined;
    const flaky: Store = {
      ...methodsOf(store),
      watch(prefix, fromRevision, watcher) {
        onReset = watcher.onReset.bind(watcher);
        return store.watch(prefix, fromRevision, watcher);
      },
    };
    const live = await liveWorld(t, flaky);
    const { apply } = createChangeApplier(store, live, new FakeClock());
    await apply([{ kind: 'put', resource: note('a', '1') }]);
    await store.transact({ operations: [{ kind: 'delete_prefix', prefix: 'world/' }] });
    onReset?.(new MeshError('conflict', 'went back', { origin: 'upstream' }));
    await eventually(() => !live.isCurrent);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(live.current.resources.get('Note')?.size, 1);
  });
});

describe('fold', () => {
  it('says what is missing instead of guessing', () => {
    const empty = foldListing({ revision: 0, entries: [] }, 'mesh.test').state;
    const set = { revision: 2, id: 'x', parts: 0, timeMs: 0 };
    const event: StoreEvent = {
      kind: 'put',
      key: 'world/set/000000000002',
      value: Buffer.from(JSON.stringify(set)),
      revision: 9,
    };
    assert.match(fold(empty, [event]).gap ?? '', /change set 2 follows 0/);
    const partless = { ...event, value: Buffer.from(JSON.stringify({ ...set, revision: 1, parts: 1 })) };
    assert.match(fold(empty, [partless]).gap ?? '', /is missing/);
  });
});

/** A store's own methods, for a fake that changes some of them. */
function methodsOf(store: Store): Store {
  return {
    kind: store.kind,
    identity: (options) => store.identity(options),
    get: (key, options) => store.get(key, options),
    list: (prefix, options) => store.list(prefix, options),
    transact: (transaction, options) => store.transact(transaction, options),
    watch: (prefix, fromRevision, watcher) => store.watch(prefix, fromRevision, watcher),
    grantLease: (ttlMs, options) => store.grantLease(ttlMs, options),
    compact: (revision, options) => store.compact(revision, options),
    close: () => store.close(),
  };
}
