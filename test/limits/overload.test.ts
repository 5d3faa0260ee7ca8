/** Memory row M7: three times more than a service may take. What is over is shed at once, what is in is served. */
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { describe, it } from 'node:test';
import { listenForTest } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { scaled } from '../support/scale.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks();

/** Requests that the service may have at once, and how long each takes: with both, what it can do at most. */
const capacity = 20;
const workMs = 20;
const phaseMs = scaled(3_000, 30_000);
/** Of what the same time brought without overload. */
const leastGoodput = 0.8;

interface Tally {
  served: number;
  shed: number;
  readonly other: string[];
}

describe('three times more than a service may take', () => {
  it('leaves the work that it can do as it was, answers the rest with 503, and is over with the load', async (t) => {
    let atOnce = 0;
    let most = 0;
    const app = createServer((_, response) => {
      most = Math.max(most, ++atOnce);
      setTimeout(() => {
        atOnce--;
        response.end('done');
      }, workMs);
    });
    const appPort = await listenForTest(t, app);
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort, protocol: 'http' }],
      limits: { maxRequests: capacity },
    });
    await offer(pair.outboundPort, capacity, 500);
    const peak = await offer(pair.outboundPort, capacity, phaseMs);
    assert.deepEqual([peak.shed, peak.other], [0, []]);

    const over = await offer(pair.outboundPort, 3 * capacity, phaseMs);
    t.diagnostic(`served ${peak.served} at capacity, ${over.served} at three times of it, ${over.shed} shed`);
    assert.deepEqual(over.other, []);
    assert.ok(over.shed > 0);
    assert.ok(over.served >= leastGoodput * peak.served, `served ${over.served} of ${peak.served}`);
    assert.ok(most <= capacity, `the application had ${most} requests at once`);

    const after = await offer(pair.outboundPort, capacity, 500);
    assert.deepEqual([after.shed, after.other], [0, []]);
  });
});

/** Callers that ask again as soon as they were served, and after a while where they were shed. */
async function offer(port: number, callers: number, forMs: number): Promise<Tally> {
  const tally: Tally = { served: 0, shed: 0, other: [] };
  let isRunning = true;
  const stop = setTimeout(() => {
    isRunning = false;
  }, forMs);
  const loops = Array.from({ length: callers }, async () => {
    while (isRunning) {
      const status = await ask(port);
      if (status === '200') tally.served++;
      else if (status !== '503 1') tally.other.push(status);
      else {
        tally.shed++;
        await new Promise((resolve) => setTimeout(resolve, workMs));
      }
    }
  });
  await Promise.all(loops);
  clearTimeout(stop);
  return tally;
}

/** The status, with `retry-after` where there is one. */
function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port, headers: { host: 'shop' }, agent: false }, (response) => {
      response.resume();
      response.on('end', () => {
        const { statusCode, headers } = response;
        resolve([statusCode, headers['retry-after']].filter((part) => part !== undefined).join(' '));
      });
    });
    call.on('error', (error) => resolve(error.message));
    call.end();
  });
}
