/** Stores whose data another process keeps: what happens while that process is dead or hung. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import type { Store } from '../../../pilot/store/store.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { storeSetups } from '../../support/stores.ts';
import { recordWatch } from '../../support/watch-record.ts';

guardLeaks({ settleMs: 10_000 });

/** Where it is 'true', a server that is not installed fails these tests instead of skipping them. */
const { CI: ci } = process.env;
const kinds = storeSetups.filter((setup) => setup.name !== 'embedded');

for (const setup of kinds) {
  const missing = ci === 'true' ? undefined : setup.missing;
  describe(`store ${setup.name}, its server`, { skip: missing ?? false }, () => {
    it('is killed while changes are watched: none is lost and none comes twice', async (t) => {
      const place = await setup.place(t);
      const { server } = place;
      assert.ok(server !== undefined);
      const [writer, reader] = [await place.open(), await place.open()];
      const record = recordWatch(reader, 'n/', (await reader.list('n/')).revision + 1);
      let written = 0;
      for (let round = 0; round < 3; round++) {
        for (let at = 0; at < 20; at++) await writeSurely(writer, `n/${written}`, () => written++);
        await server.kill();
        await eventually(() => record.calls.at(-1) === 'disconnected', { withinMs: 30_000 });
        await server.start();
        for (let at = 0; at < 5; at++) await writeSurely(writer, `n/${written}`, () => written++);
      }
      await eventually(() => record.events.length >= written, { withinMs: 30_000 });
      assert.deepEqual(
        record.events.map((event) => event.key),
        Array.from({ length: written }, (_, at) => `n/${at}`),
      );
      assert.equal(record.resetReason, undefined);
    });

    it('is compacted while a watcher is away: the watcher is told to list again', async (t) => {
      const place = await setup.place(t);
      const { server } = place;
      assert.ok(server !== undefined);
      const [writer, reader] = [await place.open(), await place.open()];
      await writeSurely(writer, 'n/first');
      const record = recordWatch(reader, 'n/', (await reader.list('n/')).revision + 1);
      await eventually(() => record.calls.includes('connected'));
      await server.kill();
      await eventually(() => record.calls.at(-1) === 'disconnected', { withinMs: 30_000 });
      await server.start();
      // The watcher may be back before the compaction and then simply gets the events.
      for (let at = 0; at < 5; at++) await writeSurely(writer, 'n/again');
      await writer.compact((await writer.list('n/')).revision);
      await eventually(() => record.resetReason !== undefined || record.events.length === 5, {
        withinMs: 30_000,
      });
      if (record.resetReason !== undefined) {
        assert.ok(record.resetReason instanceof MeshError);
        assert.equal(record.resetReason.code, 'compacted');
      }
    });

    it('hangs: calls end at their deadline, the watch notices and goes on afterwards', async (t) => {
      const place = await setup.place(t);
      const { server } = place;
      assert.ok(server !== undefined);
      const [writer, reader] = [await place.open(), await place.open()];
      await writeSurely(writer, 'h/before');
      const record = recordWatch(reader, 'h/', 1);
      await eventually(() => record.events.length === 1);
      server.signal('SIGSTOP');
      try {
        await assert.rejects(writer.get('h/before', { deadlineMs: 300 }), late);
        const put = writer.transact(
          { operations: [{ kind: 'put', key: 'h/lost', value: Buffer.from('') }] },
          { deadlineMs: 300 },
        );
        await assert.rejects(put, late);
        await assert.rejects(writer.grantLease(5_000, { deadlineMs: 300 }), late);
        await eventually(() => record.calls.at(-1) === 'disconnected', { withinMs: 40_000 });
      } finally {
        server.signal('SIGCONT');
      }
      await writeSurely(writer, 'h/after');
      await eventually(() => record.events.some((event) => event.key === 'h/after'), { withinMs: 30_000 });
      const keys = record.events.map((event) => event.key);
      assert.deepEqual(keys, [...new Set(keys)]);
    });

    it('is gone when the store is closed: nothing waits for it', async (t) => {
      const place = await setup.place(t);
      const store = await place.open();
      const record = recordWatch(store, '', 1);
      await eventually(() => record.calls.includes('connected'));
      await place.server?.kill();
      await eventually(() => record.calls.at(-1) === 'disconnected', { withinMs: 30_000 });
      await store.close();
      const told = record.calls.length;
      await assert.rejects(store.get('a'), MeshError);
      assert.equal(record.calls.length, told);
    });
  });
}

function late(thrown: unknown): boolean {
  assert.ok(thrown instanceof MeshError);
  assert.ok(['deadline_exceeded', 'unavailable'].includes(thrown.code), thrown.message);
  return true;
}

/** Writes once, however often it must be tried: looks first whether the try before took effect. */
async function writeSurely(store: Store, key: string, onWritten: () => void = () => {}): Promise<void> {
  const before = (await eventually(async () => ({ entry: await store.get(key) }), { withinMs: 30_000 }))
    .entry;
  const compares = [{ key, revision: before?.revision ?? 0 }];
  await eventually(
    async () => {
      const operations = [{ kind: 'put', key, value: Buffer.from('1') } as const];
      const { succeeded } = await store.transact({ compares, operations });
      return succeeded || (await store.get(key))?.revision !== before?.revision;
    },
    { withinMs: 30_000 },
  );
  onWritten();
}
