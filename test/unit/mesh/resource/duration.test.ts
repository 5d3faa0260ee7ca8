import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { durationMs } from '../../../../mesh/resource/duration.ts';

describe('durationMs', () => {
  const rows: readonly (readonly [string, number | undefined])[] = [
    ['500ms', 500],
    ['10s', 10_000],
    ['1h', 3_600_000],
    ['1h30m', 5_400_000],
    ['1s500ms', 1500],
    ['0s', 0],
    ['576h', 2_073_600_000],
    ['600h', undefined],
    ['', undefined],
    ['10', undefined],
    ['1.5s', undefined],
    ['-1s', undefined],
    ['1d', undefined],
    ['100000s', undefined],
  ];
  for (const [text, expected] of rows)
    it(`takes '${text}' for ${expected}`, () => assert.equal(durationMs(text), expected));
});
