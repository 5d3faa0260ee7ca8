/**
 * Both sidecars replaced again and again under the ledger's mixed traffic, each time with a new certificate and a new
 * configuration: not one request is lost, wrong or done twice. A hundred times in `npm run test:limits`.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guardLeaks } from '../support/leak-guard.ts';
import { assertClean, reportTo } from '../support/ledger/judge.ts';
import { Ledger } from '../support/ledger/ledger.ts';
import { startStage } from '../support/ledger/stage.ts';
import { scaled } from '../support/scale.ts';

guardLeaks({ settleMs: 60_000 });

const requestsPerSecond = 200;
const times = scaled(4, 100);
const timesWithWorkers = scaled(2, 10);
/** Between two replacements. */
const pauseMs = 1_500;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('replacements', () => {
  for (const [workers, count] of [
    [1, times],
    [2, timesWithWorkers],
  ] as const) {
    it(`lose nothing, ${count} of sidecars with ${workers} process${workers === 1 ? '' : 'es'}`, async (t) => {
      const stage = await startStage(t, { workers });
      const sides = [stage.caller, ...stage.instances.map(({ sidecar }) => sidecar)];
      const ledger = new Ledger({ ...stage, requestsPerSecond });
      ledger.start();
      for (let round = 0; round < count; round++) {
        await pause(pauseMs);
        await sides[round % sides.length]?.replace();
      }
      await pause(pauseMs);
      const books = await ledger.close();
      reportTo(t, books);
      assertClean(books, stage.doubled());
      // A WebSocket ends with the drain of the process that carries it.
      assert.ok(books.ended.every((line) => line.startsWith('ping ')));
      assert.equal(books.right + books.ended.length, books.sent);
    });
  }
});
