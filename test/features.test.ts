/** docs/features.md says what Heddle does; every row names tests that exist, every end-to-end test has a row. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

interface Row {
  readonly what: string;
  readonly how: string;
  readonly tests: readonly string[];
}

describe('docs/features.md', () => {
  const rows = readRows(readFileSync('docs/features.md', 'utf8'));

  it('has rows of what, how and tests', () => {
    assert.ok(rows.length > 0);
    for (const { what, how, tests } of rows) {
      assert.notEqual(what, '');
      assert.notEqual(how, '', `${what}: how does one turn it on?`);
      assert.ok(tests.length > 0, `${what}: no test is named`);
    }
  });

  for (const { what, tests } of rows) {
    it(`${what}: its tests exist`, () => {
      assert.deepEqual(
        tests.filter((file) => !existsSync(file)),
        [],
      );
    });
  }

  it('names every end-to-end test', () => {
    const named = new Set(rows.flatMap((row) => row.tests));
    const unnamed = globSync('test/e2e/**/*.test.ts').filter((file) => !named.has(file));
    assert.deepEqual(unnamed, []);
  });
});

/** Rows of all tables; a test is a path in backticks in the last column. */
function readRows(page: string): Row[] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| what '))
    .map((line) => {
      const [what = '', how = '', shown = ''] = line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim());
      return { what, how, tests: [...shown.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file ?? '') };
    });
}
