/** docs/operations/limits.md: every number on it is the one in the code, and the codecs' limits are all there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { limitRanges } from '../mesh/limits.ts';
import { limits as http1Limits } from '../sidecar/codec/http1/limits.ts';
import { limits as http2Limits } from '../sidecar/codec/http2/limits.ts';

interface Section {
  readonly title: string;
  readonly file: string;
  /** What the names of its limits begin with, where they can be set. */
  readonly prefix: string;
  /** `range` is `–` where a limit is fixed. */
  readonly rows: readonly { readonly name: string; readonly value: string; readonly range: string }[];
}

const page = readFileSync('docs/operations/limits.md', 'utf8');
const sections = page.split(/^## /m).slice(1).flatMap(readSection);

describe('docs/operations/limits.md', () => {
  it('has sections with a file and rows', () => {
    assert.ok(sections.length > 10);
  });

  for (const { title, file, rows } of sections) {
    it(`${title}: says what ${file} says`, () => {
      const source = readFileSync(file, 'utf8');
      assert.deepEqual(
        rows.map(({ name, value }) => `${name} ${value}`),
        rows.map(({ name }) => `${name} ${valueIn(source, name)}`),
      );
    });
  }

  it('leaves out no limit of a codec', () => {
    const named = (file: string) =>
      sections.filter((section) => section.file === file).flatMap(({ rows }) => rows.map(({ name }) => name));
    assert.deepEqual(named('sidecar/codec/http1/limits.ts'), Object.keys(http1Limits));
    assert.deepEqual(named('sidecar/codec/http2/limits.ts'), Object.keys(http2Limits));
  });

  it('says of every limit that can be set how far it goes, and of no other', () => {
    const said = sections
      .flatMap(({ prefix, rows }) => rows.flatMap(({ name, range }) => settable(`${prefix}.${name}`, range)))
      .sort();
    const held = Object.entries(limitRanges).map(([name, [least, most]]) => `${name}: ${least} to ${most}`);
    assert.deepEqual(said, held.sort());
  });
});

/** One line for each name that a row's range stands for. */
function settable(name: string, range: string): string[] {
  if (range === '–') return [];
  const [parts = '', figures] = range.split(': ');
  if (figures === undefined) return [`${name}: ${range}`];
  return [...parts.matchAll(/`(\.\w+)`/g)].map(([, part]) => `${name}${part}: ${figures}`);
}

/** A section without a file in its first line is prose. */
function readSection(text: string): Section[] {
  const [title = '', , intro = ''] = text.split('\n');
  const file = /^`([^`]+\.ts)`/.exec(intro)?.[1];
  if (file === undefined) return [];
  const prefix = /begin with `(\w+)\.`/.exec(text)?.[1] ?? '';
  const row = /\| `(\w+)` \| ([^|]+) \|(?: ([^|]+) \|)?$/gm;
  const rows = [...text.matchAll(row)].map(([, name = '', value = '', range = '–']) => ({
    name,
    value: value.trim(),
    range,
  }));
  assert.ok(rows.length > 0, `${title} has no rows`);
  return [{ title, file, prefix, rows }];
}

/** The value of a constant or a property, as the page writes it: a number, or the parts of a rate. */
function valueIn(source: string, name: string): string {
  const text =
    new RegExp(`^(?:export )?const ${name}(?:: number)? = ([^;]+);`, 'm').exec(source)?.[1] ??
    new RegExp(`^  ${name}: (\\{[^}]+\\}|[^,]+),$`, 'm').exec(source)?.[1] ??
    'nothing';
  const plain = text.replaceAll('_', '');
  return plain.startsWith('{') ? plain.slice(1, -1).trim() : String(evaluate(plain));
}

/** Products and powers of numbers, as limits are written. */
function evaluate(text: string): number {
  return text
    .split(/ \* /)
    .map((factor) => factor.split(' ** ').map(Number))
    .reduce((product, [base = Number.NaN, power = 1]) => product * base ** power, 1);
}
