/**
 * Memory row M5: steady traffic of which a tenth is left badly, at any point of a conversation. Nothing stays of it:
 * no request, no connection, and over a long run no memory.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { seededRandom } from '../../kit/random.ts';
import { startApp } from '../support/http-app.ts';
import { nothingLeft } from '../support/left-behind.ts';
import { collectable, liveBytes } from '../support/process-memory.ts';
import { isFullScale, scaled } from '../support/scale.ts';
import { http1States, http2States, leave, leavings } from '../support/socket-abuse.ts';
import { type StaticPair, startStaticPair } from '../support/static-pair.ts';
import { startLoadFor } from '../support/steady-load.ts';
import { type Look, trendPerMinute } from '../support/trend.ts';

const minuteMs = 60_000;
/** At several times the traffic: until then code is compiled and tables fill, which is no leak. */
const warmUpMs = scaled(2_000, 6 * minuteMs);
const runMs = scaled(10_000, Number(process.env['HEDDLE_LEAK_MINUTES'] ?? 60) * minuteMs);
/** RSS of one sidecar may grow by less than 1 MB in 10 minutes. */
const maxBytesPerMinute = 100_000;
/** Between two connections that are left, beside some 300 requests a second. */
const pauseMs = 30;

interface TrafficOptions {
  readonly connections: number;
  readonly pauseMs: number;
  readonly leaverSeeds: readonly number[];
}

const states = [...http1States, ...http2States];

describe('traffic of which a tenth is left badly', () => {
  it(`leaves nothing behind after ${runMs / 1000} s`, async (t) => {
    const app = await startApp(t);
    const start = { nodeArgs: isFullScale ? collectable : [] };
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      start: { caller: start, receiver: start },
    });
    const heavier = { connections: 24, pauseMs: 10, leaverSeeds: [1, 2, 3, 4] };
    const warmUp = startTraffic(t, pair.outboundPort, heavier);
    await wait(warmUpMs);
    assert.deepEqual((await warmUp.stop()).failures, []);
    const traffic = startTraffic(t, pair.outboundPort, { connections: 6, pauseMs: 20, leaverSeeds: [7] });
    if (isFullScale) {
      const { caller, receiver } = await watchMemory(pair, (line) => {
        t.diagnostic(line);
        // What the application notes of each request would fill this process.
        app.seen.length = 0;
      });
      for (const [name, looks] of Object.entries({ caller, receiver })) {
        const perMinute = Math.round(trendPerMinute(looks));
        t.diagnostic(`${name}: ${perMinute} bytes a minute`);
        assert.ok(perMinute < maxBytesPerMinute, `${name} grew by ${perMinute} bytes a minute`);
      }
    } else {
      await wait(runMs);
    }
    const { sent, failures, left } = await traffic.stop();
    t.diagnostic(`${sent} requests, ${left} connections left badly`);
    assert.ok(left > 50);
    assert.deepEqual(failures, []);
    assert.deepEqual([pair.caller.status, pair.receiver.status], [undefined, undefined]);
    await nothingLeft(pair, 'nothing left of the traffic');
  });
});

/** Requests that are waited for, beside connections that are left badly, one after the other for each seed. */
function startTraffic(t: TestContext, port: number, { leaverSeeds, ...load }: TrafficOptions) {
  const requests = startLoadFor(t, { port, ...load });
  let isRunning = true;
  const leavers = leaverSeeds.map((seed) => abuseUntil(port, { seed, isOver: () => !isRunning }));
  return {
    async stop() {
      isRunning = false;
      const counts = await Promise.all(leavers);
      return { ...(await requests.stop()), left: counts.reduce((sum, count) => sum + count, 0) };
    },
  };
}

/** Looks at the memory of both each minute. */
async function watchMemory({ caller, receiver }: StaticPair, tell: (line: string) => void) {
  const looks = { caller: [] as Look[], receiver: [] as Look[] };
  const startMs = performance.now();
  const minutes = () => (performance.now() - startMs) / minuteMs;
  const look = async (pid: number): Promise<Look> => ({ value: await liveBytes(pid), minutes: minutes() });
  while (minutes() < runMs / minuteMs) {
    const nextMs = performance.now() + minuteMs;
    looks.caller.push(await look(caller.pid));
    looks.receiver.push(await look(receiver.pid));
    tell(`MB: caller ${megabytes(looks.caller)}, receiver ${megabytes(looks.receiver)}`);
    await wait(nextMs - performance.now());
  }
  return looks;
}

function megabytes(looks: readonly Look[]): string {
  return ((looks.at(-1)?.value ?? 0) / 1e6).toFixed(1);
}

/** Leaves connections badly, one after the other; resolves to how many there were. */
async function abuseUntil(
  port: number,
  { seed, isOver }: { readonly seed: number; readonly isOver: () => boolean },
): Promise<number> {
  const random = seededRandom(seed);
  let count = 0;
  while (!isOver()) {
    const conversation = states[Math.floor(random() * states.length)];
    const how = leavings[Math.floor(random() * leavings.length)];
    if (conversation === undefined || how === undefined) throw new Error('random is below 1');
    await leave({ port }, conversation, how);
    count++;
    await wait(pauseMs);
  }
  return count;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
