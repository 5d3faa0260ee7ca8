/**
 * The ledger's mixed traffic while things go wrong, one after another: connections reset, an application that stands
 * still, one that is killed, a whole instance that is killed, a worker that is killed, a sidecar that is replaced.
 * What was in flight on what died may fail, and says so; nothing is wrong, done twice or left without an answer.
 *
 *   HEDDLE_SOAK_MINUTES=60 npm run soak
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guardLeaks } from '../support/leak-guard.ts';
import { type FaultKind, Faults, faultKinds } from '../support/ledger/faults.ts';
import { reportTo } from '../support/ledger/judge.ts';
import { Ledger } from '../support/ledger/ledger.ts';
import { startStage } from '../support/ledger/stage.ts';

guardLeaks({ settleMs: 60_000 });

const requestsPerSecond = 150;
const minutes = Number(process.env['HEDDLE_SOAK_MINUTES'] ?? 0);
/** Between two faults. */
const pauseMs = 2_000;
/** Faults that nobody may notice. */
const harmless: readonly FaultKind[] = ['freeze', 'replace'];

/** A status or a gRPC status, and a reason. */
const saysWhy = /: (?:50[234]|grpc-status \d+) \S.* \(at /;
/** What may be asked for twice is, elsewhere, where its upstream was lost before an answer. */
const asksTwice = /^(?:get|pipelined|h2_get|poll|download) /;
/** Most requests never meet a fault. */
const leastShare = 0.95;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('soak', () => {
  it(`keeps its books ${minutes === 0 ? 'through one fault of each kind' : `for ${minutes} min of faults`}`, async (t) => {
    const stage = await startStage(t, { instances: 2, workers: 2 });
    const ledger = new Ledger({ ...stage, requestsPerSecond });
    const faults = new Faults(t, stage);
    ledger.start();
    const untilMs = performance.now() + minutes * 60_000;
    const failed = new Map<FaultKind, number>();
    for (let count = 0; count < faultKinds.length || performance.now() < untilMs; count++) {
      await pause(pauseMs);
      const before = ledger.failed;
      const kind = await faults.next();
      await pause(pauseMs);
      failed.set(kind, (failed.get(kind) ?? 0) + ledger.failed - before);
    }
    const books = await ledger.close();
    reportTo(t, books);
    t.diagnostic(`failed by fault: ${JSON.stringify(Object.fromEntries(failed))}`);
    const { sent, right, wrong, refused, broken, silent, ended } = books;
    assert.deepEqual({ wrong, silent, doubled: stage.doubled() }, { wrong: [], silent: [], doubled: [] });
    for (const line of refused) {
      assert.match(line, saysWhy);
      assert.doesNotMatch(line, asksTwice);
    }
    for (const kind of harmless) assert.equal(failed.get(kind), 0, `${kind} was noticed`);
    assert.ok(right > sent * leastShare, `${right} of ${sent}`);
    assert.equal(right + refused.length + broken.length + ended.length, sent);
  });
});
