/**
 * Memory row M2, in every pair of codecs: readers that hardly read, clients of large answers and applications that
 * are sent large bodies, cost a bounded piece of memory each; who sends has to wait, a fast request on the same
 * link goes by, and what was held arrives in the end.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { limits } from '../../sidecar/codec/http2/limits.ts';
import { startBulkApp } from '../support/bulk-app.ts';
import { startDeafApp } from '../support/deaf-app.ts';
import { eventually, within } from '../support/eventually.ts';
import { ask } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { collectable, liveBytes, residentBytes, settled } from '../support/process-memory.ts';
import { scaled } from '../support/scale.ts';
import { startSlowReaders } from '../support/slow-readers.ts';
import { startUploads } from '../support/slow-uploads.ts';
import { type StaticPair, startStaticPair } from '../support/static-pair.ts';

guardLeaks({ settleMs: 20_000 });

const readers = scaled(40, 500);
const bodyBytes = 10_000_000;
/** What a slow reader may cost a sidecar. */
const maxBytesEach = 256 * 1024;
/**
 * Windows grow before their readers stop, by so much in a process, and while few connections are full each may hold
 * more. 500 readers have room for it in the above; for a few, windows grow less and there is some more.
 */
const windowGrowth = scaled(2 * 1024 * 1024, limits.windowGrowthPerProcess);
const maxBytesShared = scaled(32 * 1024 * 1024, 0);
const fastRequests = 50;
/** Bodies read at once and at full speed before: heap and allocator then have their working size. */
const warmUps = 8;
/** How long it may take until the buffers of the kernel, megabytes of each connection, are full. */
const stallMs = 240_000;

const protocols = ['http', 'http2'] as const;
type Protocol = (typeof protocols)[number];
const pairs = protocols.flatMap((client) => protocols.map((server) => [client, server] as const));

describe(`${readers} clients that hardly read their answers`, () => {
  for (const [client, server] of pairs) {
    it(`${client} → link → ${server}`, async (t) => {
      const app = await startBulkApp(t, server);
      const pair = await startPair(t, app.port, server);
      const path = `/bulk/${bodyBytes}`;
      await Promise.all(Array.from({ length: warmUps }, () => ask(pair.outboundPort, { path })));
      const rest = await liveBytesOf(pair);
      const slow = await startSlowReaders(t, {
        protocol: client,
        port: pair.outboundPort,
        count: readers,
        path,
        bodyBytes,
      });
      await eventually(() => slow.begun === readers, { what: 'answers that have begun', withinMs: 60_000 });
      await stall(app, pair);
      await assertCost(t, pair, rest);
      await assertFastRequests(app, pair);
      assert.equal(slow.broken, 0, failuresOf(pair));
      const total = await within(slow.readAll(), 'the rest of all bodies', 240_000);
      assert.equal(total, readers * bodyBytes, failuresOf(pair));
    });
  }
});

describe(`${readers} requests whose bodies the application hardly reads`, () => {
  for (const [client, server] of pairs) {
    it(`${client} → link → ${server}`, async (t) => {
      const app = await startDeafApp(t, server);
      const pair = await startPair(t, app.port, server);
      const warmUp = { method: 'POST', path: '/now', body: Buffer.alloc(bodyBytes) };
      await Promise.all(Array.from({ length: warmUps }, () => ask(pair.outboundPort, warmUp)));
      const rest = await liveBytesOf(pair);
      const { outboundPort: port } = pair;
      const uploads = await startUploads(t, { protocol: client, port, count: readers, bodyBytes });
      await eventually(() => app.begun === readers, {
        what: 'requests at the application',
        withinMs: 60_000,
      });
      await stall(uploads, pair);
      await assertCost(t, pair, rest);
      await assertFastRequests(uploads, pair);
      app.listen();
      const answers = await within(uploads.answers(), 'the answers to all bodies', 240_000);
      assert.deepEqual([...new Set(answers)], [String(bodyBytes)], failuresOf(pair));
    });
  }
});

async function startPair(t: TestContext, appPort: number, protocol: Protocol): Promise<StaticPair> {
  return await startStaticPair(t, {
    ports: [{ port: 80, appPort, protocol }],
    sidecarLimits: { 'http2.windowGrowthPerProcess': windowGrowth },
    start: { caller: { nodeArgs: collectable }, receiver: { nodeArgs: collectable } },
  });
}

function sidesOf({ caller, receiver }: StaticPair) {
  return [caller, receiver];
}

async function liveBytesOf(pair: StaticPair): Promise<number[]> {
  return await Promise.all(sidesOf(pair).map(({ pid }) => liveBytes(pid)));
}

interface Sender {
  readonly sentBytes: number;
  readonly blocked: number;
}

/** Until the senders have to wait, but for the little that is read. */
async function stall(sender: Sender, pair: StaticPair): Promise<void> {
  const stepBytes = readers * 8 * 1024;
  await settled(() => sender.sentBytes, { stepBytes, what: 'sent bytes', withinMs: stallMs });
  assertBlocked(sender, pair);
}

/** Reading a little lets a sender go now and then. */
function assertBlocked(sender: Sender, pair: StaticPair): void {
  assert.ok(sender.blocked >= readers * 0.9, `${sender.blocked} senders wait; ${failuresOf(pair)}`);
}

async function assertCost(t: TestContext, pair: StaticPair, rest: readonly number[]): Promise<void> {
  const sides = sidesOf(pair);
  const resident = sides.map(({ pid }) => residentBytes(pid));
  const peak = await liveBytesOf(pair);
  peak.forEach((bytes, at) => {
    const cost = bytes - (rest[at] ?? 0);
    const words = `${at === 0 ? 'caller' : 'receiver'}: ${Math.round(cost / readers / 1024)} KiB each`;
    const garbage = (resident[at] ?? 0) - bytes;
    t.diagnostic(`${words}, and ${Math.round(garbage / 1e6)} MB of garbage`);
    assert.ok(cost <= readers * maxBytesEach + maxBytesShared, words);
  });
}

async function assertFastRequests(sender: Sender, pair: StaticPair): Promise<void> {
  for (let n = 0; n < fastRequests; n++) {
    const reply = await within(ask(pair.outboundPort), 'a fast request beside slow readers');
    assert.equal(reply.status, 200);
  }
  assertBlocked(sender, pair);
}

/** What the access logs say of requests that went wrong. */
function failuresOf(pair: StaticPair): string {
  const lines = sidesOf(pair).flatMap(({ stdout }) => stdout.split('\n'));
  return lines
    .filter((line) => /"flags":"[A-Z]/.test(line))
    .slice(0, 3)
    .join('\n');
}
