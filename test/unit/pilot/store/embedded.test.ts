import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { openEmbeddedStore } from '../../../../pilot/store/embedded.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { startProcess } from '../../../support/processes.ts';
import { tempFolder } from '../../../support/temp-folder.ts';
import { recordWatch } from '../../../support/watch-record.ts';

guardLeaks();

describe('openEmbeddedStore', () => {
  it('refuses a file that another pilot has, and takes it over after a kill with all that was answered', async (t) => {
    const path = join(tempFolder(t), 'pilot.db');
    const writer = await startProcess(t, {
      args: [join('test', 'support', 'programs', 'embedded-writer.ts'), path],
    });
    await writer.printed(/ n\/50\n/);
    await assert.rejects(openEmbeddedStore({ path }), (thrown) => {
      assert.ok(thrown instanceof MeshError);
      assert.equal(thrown.code, 'conflict');
      assert.match(thrown.message, /pilot\.db is in use by another pilot/);
      return true;
    });
    writer.signal('SIGKILL');
    await writer.exited;
    const answered = writer.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split(' '));
    const store = await openEmbeddedStore({ path });
    defer(t, () => store.close());
    const record = recordWatch(store, 'n/', 1);
    await eventually(() => record.events.length >= answered.length);
    assert.deepEqual(
      record.events.slice(0, answered.length).map((event) => [String(event.revision), event.key]),
      answered,
    );
  });

  it('names the file that cannot be opened', async (t) => {
    const folder = tempFolder(t);
    const isUnavailable = (thrown: unknown) => thrown instanceof MeshError && thrown.code === 'unavailable';
    await assert.rejects(openEmbeddedStore({ path: join(folder, 'no', 'pilot.db') }), isUnavailable);
    const garbage = join(folder, 'garbage.db');
    writeFileSync(garbage, 'this is not a database, only some text that is long enough to be read');
    await assert.rejects(openEmbeddedStore({ path: garbage }), isUnavailable);
  });

  it('keeps its file and its journal to its own user', async (t) => {
    const folder = tempFolder(t);
    const store = await openEmbeddedStore({ path: join(folder, 'pilot.db') });
    defer(t, () => store.close());
    await store.transact({ operations: [{ kind: 'put', key: 'a', value: Buffer.from('1') }] });
    const files = readdirSync(folder);
    assert.deepEqual(files, ['pilot.db', 'pilot.db-wal']);
    for (const file of files) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file);
  });

  it('lets leases end by our clock, and begins them anew when it is opened again', async (t) => {
    const path = join(tempFolder(t), 'pilot.db');
    const clock = new FakeClock();
    const store = await openEmbeddedStore({ path, clock });
    defer(t, () => store.close());
    const lease = await store.grantLease(10_000);
    assert.equal(lease.validUntilMs, clock.nowMs() + 10_000);
    await store.transact({
      operations: [{ kind: 'put', key: 'a', value: Buffer.from('1'), lease: lease.id }],
    });
    clock.advance(9_000);
    await lease.keepAlive();
    clock.advance(9_000);
    assert.ok((await store.get('a')) !== undefined);
    await store.close();
    const reopened = await openEmbeddedStore({ path, clock });
    defer(t, () => reopened.close());
    clock.advance(9_000);
    assert.ok((await reopened.get('a')) !== undefined);
    clock.advance(1_000);
    assert.equal(await reopened.get('a'), undefined);
  });

  it('is another store where its file was put back from a copy', async (t) => {
    const folder = tempFolder(t);
    const path = join(folder, 'pilot.db');
    const identityNow = async () => {
      const store = await openEmbeddedStore({ path });
      const identity = await store.identity();
      await store.close();
      return identity;
    };
    const first = await identityNow();
    assert.equal(await identityNow(), first);
    copyFileSync(path, join(folder, 'backup.db'));
    renameSync(join(folder, 'backup.db'), path);
    assert.notEqual(await identityNow(), first);
  });
});
