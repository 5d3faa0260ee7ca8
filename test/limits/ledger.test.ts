/**
 * The ledger: a minute of mixed traffic at a fixed rate through two sidecars, every request numbered and every body
 * hashed. Nothing may be lost, wrong or done twice.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guardLeaks } from '../support/leak-guard.ts';
import { assertClean, reportTo } from '../support/ledger/judge.ts';
import { Ledger } from '../support/ledger/ledger.ts';
import { startStage } from '../support/ledger/stage.ts';

guardLeaks({ settleMs: 60_000 });

const requestsPerSecond = 200;
const seconds = 60;

describe('ledger', () => {
  it(`has every request of ${seconds} s of mixed traffic answered, and right`, async (t) => {
    const stage = await startStage(t);
    const ledger = new Ledger({ ...stage, requestsPerSecond });
    ledger.start();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    const books = await ledger.close();
    reportTo(t, books);
    assertClean(books, stage.doubled());
    assert.equal(books.right, books.sent);
    assert.ok(books.sent >= seconds * requestsPerSecond * 0.9);
  });
});
