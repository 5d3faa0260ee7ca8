// hot: one pick per request.
/**
 * Round robin, weighted where weights differ. Weights use a static stride: each candidate's turn comes up in
 * proportion to its weight, evenly spread, with no state per candidate and constant time on average.
 */
import type { BalancePolicy, Candidate, Picker } from './balancer.ts';

/** Weights are scaled so that the largest is this. */
const topWeight = 65_535;

export const roundRobin: BalancePolicy = {
  name: 'round_robin',
  build(candidates, random) {
    const first = candidates[0] as Candidate;
    const isEven = candidates.every((candidate) => candidate.weight === first.weight);
    return isEven ? new EvenPicker(candidates, random) : new StridePicker(candidates, random);
  },
};

class EvenPicker<T extends Candidate> implements Picker<T> {
  readonly #candidates: readonly T[];
  #next: number;

  constructor(candidates: readonly T[], random: () => number) {
    this.#candidates = candidates;
    // Many sidecars that learn of the same change must not begin at the same endpoint.
    this.#next = Math.floor(random() * candidates.length);
  }

  pick(): T {
    const at = this.#next;
    this.#next = at + 1 === this.#candidates.length ? 0 : at + 1;
    return this.#candidates[at] as T;
  }
}

class StridePicker<T extends Candidate> implements Picker<T> {
  readonly #candidates: readonly T[];
  readonly #weights: Uint16Array;
  /** Round number × candidates + position. */
  #sequence: number;

  constructor(candidates: readonly T[], random: () => number) {
    this.#candidates = candidates;
    const heaviest = candidates.reduce((top, candidate) => Math.max(top, candidate.weight), 0);
    this.#weights = Uint16Array.from(candidates, (candidate) =>
      Math.max(1, Math.round((candidate.weight / heaviest) * topWeight)),
    );
    this.#sequence = Math.floor(random() * candidates.length * topWeight);
  }

  pick(): T {
    const count = this.#candidates.length;
    for (;;) {
      const sequence = this.#sequence;
      this.#sequence = sequence + 1 >= count * topWeight ? 0 : sequence + 1;
      const at = sequence % count;
      const round = (sequence - at) / count;
      const weight = this.#weights[at] as number;
      // A candidate is skipped in the rounds in which its accumulated share did not reach the next whole turn.
      // The offset spreads candidates of equal weight over different rounds.
      if ((weight * round + at * (topWeight >> 1)) % topWeight < topWeight - weight) continue;
      return this.#candidates[at] as T;
    }
  }
}
