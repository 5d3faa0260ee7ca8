/** What every store promises, asked of each one in the registry; etcd's is a real server. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import {
  maxTransactionOperations,
  maxValueBytes,
  type Operation,
  type Store,
} from '../../../pilot/store/store.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type StoreSetup, storeSetups } from '../../support/stores.ts';
import { recordWatch } from '../../support/watch-record.ts';

guardLeaks({ settleMs: 10_000 });

/** Where it is 'true', a store that cannot be tested is a failure. */
const { CI: ci } = process.env;

for (const setup of storeSetups) {
  describe(`store ${setup.name}`, () => {
    if (setup.missing !== undefined) {
      it(`is tested (${setup.missing})`, { skip: ci === 'true' ? false : setup.missing }, () => {
        assert.fail(setup.missing);
      });
      return;
    }
    contract(setup);
  });
}

const bytes = (text: string) => Buffer.from(text, 'utf8');
const put = (key: string, value: string): Operation => ({ kind: 'put', key, value: bytes(value) });

function code(expected: string) {
  return (thrown: unknown): boolean => {
    assert.ok(thrown instanceof MeshError, String(thrown));
    assert.equal(thrown.code, expected, thrown.message);
    return true;
  };
}

async function write(store: Store, key: string, value: string): Promise<number> {
  const result = await store.transact({ operations: [put(key, value)] });
  assert.ok(result.succeeded);
  return result.revision;
}

function contract(setup: StoreSetup): void {
  const fresh = async (t: TestContext) => await (await setup.place(t)).open();

  it('answers what was written, and undefined for what is not there', async (t) => {
    const store = await fresh(t);
    assert.equal(await store.get('a'), undefined);
    const revision = await write(store, 'a', 'one');
    const entry = await store.get('a');
    assert.equal(Buffer.from(entry?.value ?? []).toString(), 'one');
    assert.equal(entry?.revision, revision);
    assert.deepEqual({ ...(await store.list('b')), revision: 0 }, { revision: 0, entries: [] });
  });

  it('gives each transaction one later revision and lists in order of keys', async (t) => {
    const store = await fresh(t);
    const first = await write(store, 'x/2', 'a');
    const second = (await store.transact({ operations: [put('x/3', 'b'), put('x/1', 'c'), put('y', 'd')] }))
      .revision;
    assert.ok(second > first);
    const listing = await store.list('x/');
    assert.equal(listing.revision, second);
    assert.deepEqual(
      listing.entries.map((entry) => [entry.key, entry.revision]),
      [
        ['x/1', second],
        ['x/2', first],
        ['x/3', second],
      ],
    );
  });

  it('lists as it was at a revision', async (t) => {
    const store = await fresh(t);
    await write(store, 'k/a', '1');
    const then = await write(store, 'k/b', '1');
    await write(store, 'k/a', '2');
    await store.transact({ operations: [{ kind: 'delete', key: 'k/b' }] });
    const before = await store.list('k/', { atRevision: then });
    assert.equal(before.revision, then);
    assert.deepEqual(
      before.entries.map((entry) => `${entry.key}=${Buffer.from(entry.value).toString()}`),
      ['k/a=1', 'k/b=1'],
    );
    assert.deepEqual(
      (await store.list('k/')).entries.map((entry) => entry.key),
      ['k/a'],
    );
  });

  it('lists more keys than fit one page', async (t) => {
    const store = await fresh(t);
    for (let at = 0; at < 3; at++) {
      const operations = Array.from({ length: 100 }, (_, index) => put(`many/${at}/${index}`, 'v'));
      await store.transact({ operations });
    }
    const { entries } = await store.list('many/');
    assert.equal(entries.length, 300);
    const keys = entries.map((entry) => entry.key);
    assert.deepEqual(keys, [...keys].sort());
  });

  it('commits nothing where a compare does not hold', async (t) => {
    const store = await fresh(t);
    const revision = await write(store, 'a', '1');
    const missed = await store.transact({
      compares: [
        { key: 'a', revision },
        { key: 'b', revision: 7 },
      ],
      operations: [put('a', '2'), put('c', '2')],
    });
    assert.equal(missed.succeeded, false);
    assert.equal(Buffer.from((await store.get('a'))?.value ?? []).toString(), '1');
    assert.equal(await store.get('c'), undefined);
    const created = await store.transact({
      compares: [
        { key: 'a', revision },
        { key: 'b', revision: 0 },
      ],
      operations: [put('b', '1'), { kind: 'delete', key: 'a' }],
    });
    assert.ok(created.succeeded);
    assert.equal(await store.get('a'), undefined);
  });

  it('deletes a prefix and nothing beside it', async (t) => {
    const store = await fresh(t);
    await store.transact({ operations: [put('p/1', ''), put('p/2', ''), put('p0', ''), put('o', '')] });
    await store.transact({ operations: [{ kind: 'delete_prefix', prefix: 'p/' }] });
    assert.deepEqual(
      (await store.list('')).entries.map((entry) => entry.key),
      ['o', 'p0'],
    );
  });

  it('lets exactly one of several clients win each compare-and-set', async (t) => {
    const place = await setup.place(t);
    const clients = [await place.open()];
    while (place.server !== undefined && clients.length < 4) clients.push(await place.open());
    const [first] = clients;
    assert.ok(first !== undefined);
    await write(first, 'counter', '0');
    const rounds = 40;
    const increment = async (store: Store): Promise<void> => {
      for (let done = 0; done < rounds; ) {
        const entry = await store.get('counter');
        assert.ok(entry !== undefined);
        const value = String(Number(Buffer.from(entry.value).toString()) + 1);
        const result = await store.transact({
          compares: [{ key: 'counter', revision: entry.revision }],
          operations: [put('counter', value)],
        });
        if (result.succeeded) done++;
      }
    };
    const workers = Array.from({ length: 4 }, (_, index) =>
      increment(clients[index % clients.length] ?? first),
    );
    await Promise.all(workers);
    assert.equal(Buffer.from((await first.get('counter'))?.value ?? []).toString(), String(4 * rounds));
  });

  it('replays from a revision, then goes on live, each event once and in order', async (t) => {
    const store = await fresh(t);
    await write(store, 'w/1', 'old');
    const from = (await write(store, 'w/2', 'seen')) + 1;
    await write(store, 'w/3', 'missed');
    await write(store, 'other', 'x');
    const record = recordWatch(store, 'w/', from);
    await eventually(() => record.events.length === 1);
    await store.transact({ operations: [{ kind: 'delete', key: 'w/1' }, put('w/4', 'live')] });
    await eventually(() => record.events.length === 3);
    assert.deepEqual(record.events.map((event) => `${event.kind} ${event.key}`).toSorted(), [
      'delete w/1',
      'put w/3',
      'put w/4',
    ]);
    const revisions = record.events.map((event) => event.revision);
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
    );
    record.watch.close();
    await write(store, 'w/5', 'after');
    await store.get('w/5');
    assert.equal(record.events.length, 3);
  });

  it('says that a watch begins where the history is gone, and a list too', async (t) => {
    const store = await fresh(t);
    const first = await write(store, 'c/1', '1');
    for (let at = 0; at < 5; at++) await write(store, 'c/1', String(at));
    const { revision } = await store.list('c/');
    await store.compact(revision);
    await store.compact(revision - 1);
    const record = recordWatch(store, 'c/', first);
    await eventually(() => record.resetReason !== undefined);
    assert.ok(code('compacted')(record.resetReason));
    await assert.rejects(store.list('c/', { atRevision: first }), code('compacted'));
    const again = await store.list('c/');
    assert.equal(again.revision, revision);
    assert.equal(again.entries.length, 1);
    const resumed = recordWatch(store, 'c/', again.revision + 1);
    await write(store, 'c/2', 'on');
    await eventually(() => resumed.events.length === 1);
  });

  it('says that the revision went back where a watch begins beyond it', async (t) => {
    const store = await fresh(t);
    const revision = await write(store, 'a', '1');
    const record = recordWatch(store, 'a', revision + 1_000);
    await eventually(() => record.resetReason !== undefined);
    assert.ok(code('conflict')(record.resetReason));
  });

  it('drops the keys of a lease when it ends, and not while it is kept', async (t) => {
    const store = await fresh(t);
    const [dying, kept, ended] = [
      await store.grantLease(2_000),
      await store.grantLease(2_000),
      await store.grantLease(60_000),
    ];
    const from = (await store.list('')).revision + 1;
    const lives = [
      { lease: dying, key: 'l/dying' },
      { lease: kept, key: 'l/kept' },
      { lease: ended, key: 'l/ended' },
    ];
    await store.transact({
      operations: lives.map(({ lease, key }) => ({ kind: 'put', key, value: bytes('1'), lease: lease.id })),
    });
    const record = recordWatch(store, 'l/', from);
    await ended.revoke();
    await ended.revoke();
    await eventually(
      async () => {
        await kept.keepAlive();
        return record.events.some((event) => event.kind === 'delete' && event.key === 'l/dying');
      },
      { everyMs: 200, withinMs: 30_000 },
    );
    assert.deepEqual(
      (await store.list('l/')).entries.map((entry) => entry.key),
      ['l/kept'],
    );
    await assert.rejects(dying.keepAlive(), code('not_found'));
    await assert.rejects(
      store.transact({ operations: [{ kind: 'put', key: 'l/late', value: bytes(''), lease: dying.id }] }),
      code('not_found'),
    );
    await kept.revoke();
    assert.deepEqual((await store.list('l/')).entries, []);
  });

  it('takes values up to the limit and refuses larger ones and larger transactions', async (t) => {
    const store = await fresh(t);
    const value = Buffer.alloc(maxValueBytes, 0xfe);
    await store.transact({ operations: [{ kind: 'put', key: 'big', value }] });
    assert.ok(value.equals((await store.get('big'))?.value ?? Buffer.of()));
    const tooLong = Buffer.alloc(maxValueBytes + 1);
    await assert.rejects(
      store.transact({ operations: [{ kind: 'put', key: 'bigger', value: tooLong }] }),
      code('limit_exceeded'),
    );
    const operations = Array.from({ length: maxTransactionOperations + 1 }, (_, at) => put(`n/${at}`, ''));
    await assert.rejects(store.transact({ operations }), code('limit_exceeded'));
    await store.transact({ operations: operations.slice(1) });
    const half = Buffer.alloc(maxValueBytes * 0.7);
    const heavy: Operation[] = ['h/1', 'h/2'].map((key) => ({ kind: 'put', key, value: half }));
    await assert.rejects(store.transact({ operations: heavy }), code('limit_exceeded'));
    await assert.rejects(store.transact({ operations: [put('d', '1'), put('d', '2')] }), code('invalid'));
    assert.equal(await store.get('d'), undefined);
  });

  it('lists a hundred values of half the limit', async (t) => {
    const store = await fresh(t);
    const value = Buffer.alloc(maxValueBytes / 2, 1);
    for (let at = 0; at < 100; at++) {
      await store.transact({ operations: [{ kind: 'put', key: `v/${at}`, value }] });
    }
    const { entries } = await store.list('v/', { deadlineMs: 30_000 });
    assert.equal(entries.length, 100);
  });

  it('names itself the same to every client', async (t) => {
    const place = await setup.place(t);
    const store = await place.open();
    const identity = await store.identity();
    assert.notEqual(identity, '');
    await store.close();
    assert.equal(await (await place.open()).identity(), identity);
  });

  it('refuses calls when it is closed or the signal is aborted', async (t) => {
    const store = await fresh(t);
    const reason = new Error('enough');
    await assert.rejects(store.get('a', { signal: AbortSignal.abort(reason) }), reason);
    await store.close();
    await assert.rejects(store.get('a'), code('unavailable'));
    await assert.rejects(store.transact({ operations: [put('a', '1')] }), code('unavailable'));
    await store.close();
  });
}
