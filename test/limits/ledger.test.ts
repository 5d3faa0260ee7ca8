/**
 * The ledger: mixed traffic at a fixed rate through two sidecars, every request numbered and every body hashed.
 * Nothing may be lost and nothing wrong.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guardLeaks } from '../support/leak-guard.ts';
import { Ledger } from '../support/ledger.ts';
import { startLedgerApp } from '../support/ledger-app.ts';
import { scaled } from '../support/scale.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks({ settleMs: 60_000 });

const seconds = Number(process.env['HEDDLE_SOAK_SECONDS'] ?? scaled(20, 60));
const requestsPerSecond = 200;

describe(`a ledger of ${seconds} s of mixed traffic`, () => {
  it('has every request answered, and right', async (t) => {
    const app = await startLedgerApp(t);
    const pair = await startStaticPair(t, {
      ports: [
        { port: 80, appPort: app.http, protocol: 'http' },
        { port: 81, appPort: app.grpc, protocol: 'grpc' },
      ],
    });
    const ledger = new Ledger({ port: pair.outboundPort, requestsPerSecond });
    ledger.start();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    const books = await ledger.close();
    t.diagnostic(JSON.stringify(books.byKind));
    assert.deepEqual(books.lost, []);
    assert.deepEqual(books.wrong, []);
    assert.equal(books.right, books.sent);
    assert.ok(books.sent >= seconds * requestsPerSecond * 0.9);
  });
});
