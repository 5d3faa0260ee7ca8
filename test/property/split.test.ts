import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileSplit } from '../../mesh/decide/split.ts';

const weights = fc.array(fc.nat(1000), { maxLength: 20 });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('a compiled split', () => {
  it('picks the part in whose share the number lies', () => {
    fc.assert(
      fc.property(weights, random, (all, at) => {
        const parts = all.map((weight) => ({ weight }));
        assert.equal(compileSplit(parts).pick(at), naive(parts, at));
      }),
      { numRuns: 2000 },
    );
  });

  it('gives every part its share of an even spread', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 12 }), (all) => {
        const total = all.reduce((sum, weight) => sum + weight, 0);
        const split = compileSplit(all.map((weight, index) => ({ weight, index })));
        const picked = all.map(() => 0);
        for (let n = 0; n < total; n++) {
          const index = split.pick((n + 0.5) / total)?.index ?? -1;
          picked[index] = (picked[index] ?? 0) + 1;
        }
        assert.deepEqual(picked, all);
      }),
    );
  });

  it('picks nothing where no part has a weight', () => {
    assert.equal(compileSplit([{ weight: 0 }, { weight: 0 }]).pick(0.5), undefined);
    assert.equal(compileSplit([]).pick(0), undefined);
  });
});

function naive<T extends { readonly weight: number }>(parts: readonly T[], at: number): T | undefined {
  const weighted = parts.filter((part) => part.weight > 0);
  let left = at * weighted.reduce((sum, part) => sum + part.weight, 0);
  for (const part of weighted) {
    if (left < part.weight) return part;
    left -= part.weight;
  }
  return weighted.at(-1);
}
