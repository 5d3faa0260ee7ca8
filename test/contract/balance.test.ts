/** What every balancing policy keeps, looped over the registry. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../kit/random.ts';
import { balancePolicies } from '../../sidecar/cluster/balance/index.ts';

interface Named {
  readonly name: string;
  readonly weight: number;
  active: number;
}

const candidates = (weights: readonly number[]): Named[] =>
  weights.map((weight, at) => ({ name: `e${at}`, weight, active: 0 }));

for (const [name, policy] of balancePolicies) {
  describe(`balance policy ${name}`, () => {
    it('picks the only candidate there is', () => {
      const [only] = candidates([7]);
      assert.ok(only);
      const picker = policy.build([only], seededRandom(1));
      for (let n = 0; n < 10; n++) assert.equal(picker.pick(), only);
    });

    it('picks only among its candidates, whatever their number and weights', () => {
      fc.assert(
        fc.property(
          fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 50 }),
          fc.nat(),
          (weights, seed) => {
            const all = candidates(weights);
            const picker = policy.build(all, seededRandom(seed));
            for (let n = 0; n < 100; n++) assert.ok(all.includes(picker.pick()));
          },
        ),
        { numRuns: 100 },
      );
    });

    it('leaves no candidate out', () => {
      const all = candidates([1, 1, 1, 1, 1]);
      const picker = policy.build(all, seededRandom(3));
      const picked = new Set(Array.from({ length: 1000 }, () => picker.pick().name));
      assert.equal(picked.size, all.length);
    });

    it('gives each candidate the share of its weight', () => {
      const weights = [1, 2, 5, 12];
      const all = candidates(weights);
      const picker = policy.build(all, seededRandom(4));
      const rounds = 20_000;
      const counts = new Map<string, number>();
      for (let n = 0; n < rounds; n++) {
        const { name: picked } = picker.pick();
        counts.set(picked, (counts.get(picked) ?? 0) + 1);
      }
      all.forEach(({ name: each, weight }) => {
        const share = (counts.get(each) ?? 0) / rounds;
        assert.ok(Math.abs(share - weight / 20) < 0.02, `${each}: share ${share}, weight ${weight}/20`);
      });
    });
  });
}
