/** What a ledger's books must show. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Books } from './ledger.ts';

const none = { wrong: [], refused: [], broken: [], silent: [], doubled: [] };

/** Nothing is lost, wrong or done twice. */
export function assertClean(books: Books, doubled: readonly string[]): void {
  const { wrong, refused, broken, silent } = books;
  assert.deepEqual({ wrong, refused, broken, silent, doubled }, none);
}

/** The figures, and one line for each that failed or was slow. */
export function reportTo(t: Pick<TestContext, 'diagnostic'>, books: Books): void {
  const { sent, right, refused, broken, silent, ended, slow, byKind } = books;
  t.diagnostic(
    `${sent} sent, ${right} right, ${refused.length} refused, ${broken.length} broken, ${silent.length} silent, ` +
      `${ended.length} ended; ${JSON.stringify(byKind)}`,
  );
  for (const line of [...refused, ...broken, ...silent, ...slow].slice(0, maxLines)) t.diagnostic(line);
}

const maxLines = 200;
