/**
 * Memory row M2: readers that hardly read cost a bounded piece of memory each; the
 * application's send blocks, a fast request on the same link goes by, and what was held arrives in the end.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../../sidecar/codec/http2/limits.ts';
import { startBulkApp } from '../support/bulk-app.ts';
import { eventually, within } from '../support/eventually.ts';
import { ask } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { collectable, liveBytes, residentBytes, settledBytes } from '../support/process-memory.ts';
import { scaled } from '../support/scale.ts';
import { startSlowReaders } from '../support/slow-readers.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks({ settleMs: 20_000 });

const readers = scaled(40, 500);
const bodyBytes = 10_000_000;
/**
 * What slow readers may cost a sidecar: one each for the queue of its socket and its stream's first window, and one
 * for all, by which windows had grown before their readers stopped. At 500 readers that is 256 KiB each.
 */
const maxBytesEach = 208 * 1024;
const maxBytesShared = limits.windowGrowthPerProcess;
const fastRequests = 50;
/** Bodies read at once and at full speed before: heap and allocator then have their working size. */
const warmUps = 8;

const http2Readers = [
  ['http2', 'http'],
  ['http2', 'http2'],
] as const;
/** Over the bound: 1.0 to 1.8 MiB each on a machine at rest. The full form says so until they are within it. */
const http1Readers = [
  ['http', 'http'],
  ['http', 'http2'],
] as const;
const pairs = scaled<readonly (readonly ['http' | 'http2', 'http' | 'http2'])[]>(http2Readers, [
  ...http2Readers,
  ...http1Readers,
]);

/** What the access log says of requests that went wrong. */
const failures = (log: string) =>
  log
    .split('\n')
    .filter((line) => /"flags":"[A-Z]/.test(line))
    .slice(0, 3)
    .join('\n');

describe(`${readers} readers that hardly read`, () => {
  for (const [client, server] of pairs) {
    it(`${client} → link → ${server}`, async (t) => {
      const app = await startBulkApp(t, server);
      const pair = await startStaticPair(t, {
        ports: [{ port: 80, appPort: app.port, protocol: server }],
        start: { caller: { nodeArgs: collectable }, receiver: { nodeArgs: collectable } },
      });
      const path = `/bulk/${bodyBytes}`;
      await Promise.all(Array.from({ length: warmUps }, () => ask(pair.outboundPort, { path })));
      const sides = [pair.caller, pair.receiver];
      const rest = await Promise.all(sides.map(({ pid }) => liveBytes(pid)));
      const slow = await startSlowReaders(t, {
        protocol: client,
        port: pair.outboundPort,
        count: readers,
        path,
        bodyBytes,
      });
      await eventually(() => slow.begun === readers && app.blocked === readers, {
        what: 'blocked senders',
        withinMs: 60_000,
      });
      const resident = await Promise.all(sides.map(({ pid }) => settledBytes(pid)));
      const peak = await Promise.all(sides.map(({ pid }) => liveBytes(pid)));
      for (const admin of [pair.callerAdmin, pair.receiverAdmin]) {
        const { memory } = JSON.parse((await ask(admin, { path: '/overload' })).body);
        t.diagnostic(`buffers ${Math.round(memory.bufferBytes / readers / 1024)} KiB each`);
      }
      peak.forEach((bytes, at) => {
        const cost = bytes - (rest[at] ?? 0);
        const words = `${at === 0 ? 'caller' : 'receiver'}: ${Math.round(cost / readers / 1024)} KiB each`;
        const garbage = (resident[at] ?? 0) - bytes;
        t.diagnostic(`${words}, and ${Math.round(garbage / 1e6)} MB of garbage`);
        assert.ok(cost <= readers * maxBytesEach + maxBytesShared, words);
      });
      // Reading a little lets a body go whose end was near.
      assert.ok(app.blocked >= readers * 0.9, sides.map(({ stdout }) => failures(stdout)).join('\n'));
      for (let n = 0; n < fastRequests; n++) {
        const reply = await within(ask(pair.outboundPort), 'a fast request beside slow readers', 2_000);
        assert.equal(reply.status, 200);
      }
      assert.equal(slow.broken, 0);
      const total = await within(slow.readAll(), 'the rest of all bodies', 120_000);
      assert.equal(total, readers * bodyBytes, sides.map(({ stdout }) => failures(stdout)).join('\n'));
      t.diagnostic(`after: ${sides.map(({ pid }) => Math.round(residentBytes(pid) / 1e6)).join(' and ')} MB`);
    });
  }
});
