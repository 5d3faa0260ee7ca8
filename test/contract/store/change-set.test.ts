/** Change sets, the World and what stands beside it, on every store. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createJoinTokens } from '../../../certs/join-tokens.ts';
import { type Clock, systemClock } from '../../../kit/clock.ts';
import { MeshError } from '../../../kit/errors.ts';
import { silentLog } from '../../../kit/log.ts';
import type { Store } from '../../../pilot/store/store.ts';
import { createChangeApplier } from '../../../pilot/world/apply-changes.ts';
import { createCaStorage, createTokenStorage } from '../../../pilot/world/certificate-storage.ts';
import type { ResourceChange } from '../../../pilot/world/change-set.ts';
import { maxLooseSets, maxWriteMs, startHousekeeping } from '../../../pilot/world/housekeeping.ts';
import type { LiveWorld } from '../../../pilot/world/live-world.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type StorePlace, type StoreSetup, storeSetups } from '../../support/stores.ts';
import { liveWorld, note } from '../../support/worlds.ts';

guardLeaks({ settleMs: 10_000 });

/** Where it is 'true', a store that cannot be tested is a failure. */
const { CI: ci } = process.env;

for (const setup of storeSetups) {
  const missing = ci === 'true' ? undefined : setup.missing;
  describe(`change sets on store ${setup.name}`, { skip: missing ?? false }, () => suite(setup));
}

const put = (name: string, text: string): ResourceChange => ({ kind: 'put', resource: note(name, text) });
const remove = (name: string): ResourceChange => ({
  kind: 'delete',
  ref: { kind: 'Note', namespace: 'shop', name },
});

interface Pilot {
  readonly store: Store;
  readonly live: LiveWorld;
  readonly apply: ReturnType<typeof createChangeApplier>['apply'];
}

async function pilotOn(t: TestContext, place: StorePlace, clock: Clock = systemClock): Promise<Pilot> {
  const store = await place.open();
  const live = await liveWorld(t, store);
  return { store, live, apply: createChangeApplier(store, live, clock).apply };
}

/** A second pilot; where only one can have the store, the first one again. */
async function anotherOn(t: TestContext, place: StorePlace, first: Pilot): Promise<Pilot> {
  return place.server === undefined ? first : await pilotOn(t, place);
}

function textOf(live: LiveWorld, name: string): unknown {
  const spec = live.current.resources.get('Note')?.get(`shop/${name}`)?.resource.spec;
  return (spec as { text: string } | undefined)?.text;
}

function suite(setup: StoreSetup): void {
  it('says what each change did and counts change sets, not writes', async (t) => {
    const { live, apply } = await pilotOn(t, await setup.place(t));
    const first = await apply([put('a', '1'), put('b', '1')]);
    assert.equal(first.revision, 1);
    const second = await apply([put('a', '1'), put('b', '2'), put('c', '1'), remove('none')]);
    assert.deepEqual(
      second.outcomes.map((outcome) => [outcome.ref.name, outcome.outcome, outcome.revision]),
      [
        ['a', 'unchanged', 1],
        ['b', 'configured', 2],
        ['c', 'created', 2],
        ['none', 'absent', 0],
      ],
    );
    assert.equal((await apply([put('a', '1')])).revision, 2);
    assert.equal((await apply([remove('a')])).revision, 3);
    assert.equal(textOf(live, 'a'), undefined);
    assert.equal(textOf(live, 'b'), '2');
    assert.equal(live.current.version.revision, 3);
  });

  it('changes nothing on a dry run or where one precondition does not hold', async (t) => {
    const { live, apply } = await pilotOn(t, await setup.place(t));
    await apply([put('a', '1')]);
    const dry = await apply([put('a', '2'), put('b', '1')], { dryRun: true });
    assert.deepEqual(
      dry.outcomes.map((outcome) => outcome.outcome),
      ['configured', 'created'],
    );
    const refused = await apply([put('b', '1'), { ...put('a', '2'), ifRevision: 7 }]);
    assert.equal(refused.conflicts.length, 1);
    assert.equal(refused.conflicts[0]?.actual, 1);
    assert.equal(textOf(live, 'b'), undefined);
    assert.equal(live.current.version.revision, 1);
    const exact = await apply([
      { ...put('a', '2'), ifRevision: 1 },
      { ...put('b', '1'), ifRevision: 0 },
    ]);
    assert.equal(exact.revision, 2);
  });

  it('applies 5,000 resources at once, seen whole or not at all', async (t) => {
    const place = await setup.place(t);
    const first = await pilotOn(t, place);
    const second = await anotherOn(t, place, first);
    const sizes = new Set<number>();
    second.live.subscribe((world) => sizes.add(world.resources.get('Note')?.size ?? 0));
    const text = 'x'.repeat(700);
    const changes = Array.from({ length: 5_000 }, (_, at) => put(`n${at}`, text));
    const { revision, outcomes } = await first.apply(changes);
    assert.equal(revision, 1);
    assert.equal(outcomes.length, 5_000);
    await second.live.reached(1, AbortSignal.timeout(20_000));
    assert.deepEqual([...sizes], [5_000]);
    const third = place.server === undefined ? undefined : await pilotOn(t, place);
    if (third !== undefined) assert.equal(third.live.current.resources.get('Note')?.size, 5_000);
    const removal = await second.apply(changes.map((_, at) => remove(`n${at}`)));
    assert.equal(removal.revision, 2);
    assert.equal(second.live.current.resources.get('Note')?.size, 0);
  });

  it('loses no update when several pilots change one resource', async (t) => {
    const place = await setup.place(t);
    const first = await pilotOn(t, place);
    const pilots = [first, await anotherOn(t, place, first), await anotherOn(t, place, first)];
    await first.apply([put('counter', '0')]);
    const rounds = 8;
    const increment = async ({ live, apply }: Pilot): Promise<void> => {
      for (let done = 0; done < rounds; ) {
        const stored = live.current.resources.get('Note')?.get('shop/counter');
        const text = String(Number(textOf(live, 'counter')) + 1);
        const { conflicts } = await apply([{ ...put('counter', text), ifRevision: stored?.revision ?? 0 }]);
        if (conflicts.length === 0) done++;
      }
    };
    await Promise.all(pilots.map(increment));
    await eventually(() => pilots.every(({ live }) => textOf(live, 'counter') === String(3 * rounds)));
    assert.equal(first.live.current.version.revision, 1 + 3 * rounds);
  });

  it('folds old sets into a base, and a pilot that starts from it has the same world', async (t) => {
    const place = await setup.place(t);
    const pilot = await pilotOn(t, place);
    const { store, live, apply } = pilot;
    for (let at = 0; at < maxLooseSets + 3; at++) await apply([put(`n${at % 10}`, String(at))]);
    await apply([remove('n3')]);
    const housekeeping = startHousekeeping({ store, live, clock: systemClock, log: silentLog });
    t.after(() => housekeeping.close());
    await housekeeping.tidy(AbortSignal.timeout(20_000));
    const keys = (await store.list('world/')).entries.map((entry) => entry.key);
    assert.equal(keys.filter((key) => key.startsWith('world/set/')).length, 0);
    assert.equal(keys.filter((key) => key.startsWith('world/part/')).length, 0);
    await apply([put('after', '1')]);
    // The second pass compacts the history that the first one saw.
    await housekeeping.tidy(AbortSignal.timeout(20_000));
    const restarted = await liveWorld(t, store);
    assert.equal(restarted.current.version.revision, live.current.version.revision);
    assert.deepEqual(restarted.current.resources, live.current.resources);
    await apply([put('n1', 'later')]);
    await eventually(() => textOf(restarted, 'n1') === 'later');
  });

  it('removes what half-written sets left behind, and none of them can take force', async (t) => {
    const place = await setup.place(t);
    const { store, live, apply } = await pilotOn(t, place);
    await apply([put('a', '1')]);
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value));
    const startedMs = systemClock.wallMs() - maxWriteMs - 1;
    await store.transact({
      operations: [
        { kind: 'put', key: 'world/intent/dead', value: encode({ startedMs }) },
        { kind: 'put', key: 'world/part/dead/00000', value: encode('half') },
        { kind: 'put', key: 'world/part/orphan/00000', value: encode('half') },
        { kind: 'put', key: 'world/intent/busy', value: encode({ startedMs: systemClock.wallMs() }) },
        { kind: 'put', key: 'world/part/busy/00000', value: encode('half') },
      ],
    });
    const housekeeping = startHousekeeping({ store, live, clock: systemClock, log: silentLog });
    t.after(() => housekeeping.close());
    await housekeeping.tidy(AbortSignal.timeout(20_000));
    const { entries } = await store.list('world/');
    const left = entries.map((entry) => entry.key).filter((key) => /dead|orphan|busy/.test(key));
    assert.deepEqual(left, ['world/intent/busy', 'world/part/busy/00000']);
    assert.equal(textOf(live, 'a'), '1');
  });

  it('serves what it can where the store holds garbage', async (t) => {
    const { store, live, apply } = await pilotOn(t, await setup.place(t));
    await apply([put('a', '1')]);
    const garbage = Buffer.from([0xff, 0xfe, 0x00, 0x7b]);
    const keys = ['world/node/x', 'world/instances/x', 'world/set/garbage', 'world/../x', 'world/unknown'];
    await store.transact({ operations: keys.map((key) => ({ kind: 'put', key, value: garbage })) });
    await apply([put('b', '1')]);
    const restarted = await liveWorld(t, store);
    for (const world of [live, restarted]) {
      assert.equal(textOf(world, 'a'), '1');
      assert.equal(textOf(world, 'b'), '1');
      assert.equal(world.current.nodes.size, 0);
    }
  });

  it('lets a join token be used once, by one of many who try at the same time', async (t) => {
    const place = await setup.place(t);
    const store = await place.open();
    const tokens = createJoinTokens(createTokenStorage(store, systemClock), systemClock);
    const { token } = await tokens.create(Buffer.alloc(32, 7));
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, (_, at) => tokens.consume(token, `n${at}`)),
    );
    assert.equal(tries.filter((result) => result.status === 'fulfilled').length, 1);
    const isDenied = (thrown: unknown) => thrown instanceof MeshError && thrown.code === 'denied';
    for (const result of tries) assert.ok(result.status === 'fulfilled' || isDenied(result.reason));
    assert.equal((await store.list('private/token/')).entries.length, 1);
  });

  it('keeps the state of the authority, written only by whoever saw the last', async (t) => {
    const place = await setup.place(t);
    const storage = createCaStorage(await place.open());
    assert.equal(await storage.load(), undefined);
    assert.equal(await storage.save(Buffer.from('one'), 0), true);
    assert.equal(await storage.save(Buffer.from('two'), 0), false);
    const loaded = await storage.load();
    assert.equal(Buffer.from(loaded?.bytes ?? []).toString(), 'one');
    assert.equal(await storage.save(Buffer.from('two'), loaded?.revision ?? 0), true);
  });
}
