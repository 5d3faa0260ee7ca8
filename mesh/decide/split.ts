// hot: one pick per request.
/** A weighted split: shares of [0, 1) in the order of the parts. */

export interface Split<T> {
  /** The part that `random`, in [0, 1), falls into; undefined where no part has a weight. */
  pick(random: number): T | undefined;
}

/** From this many parts on the share is found by bisection. */
const bisectFrom = 8;

/** Weights are whole numbers from 0; a part of weight 0 is never picked. */
export function compileSplit<T extends { readonly weight: number }>(parts: readonly T[]): Split<T> {
  return new PrefixSums(parts.filter((part) => part.weight > 0));
}

class PrefixSums<T extends { readonly weight: number }> implements Split<T> {
  readonly #parts: readonly T[];
  /** `ends[i]` is the sum of the weights up to and with part i. */
  readonly #ends: Float64Array;
  readonly #total: number;

  constructor(parts: readonly T[]) {
    this.#parts = parts;
    this.#ends = new Float64Array(parts.length);
    let total = 0;
    parts.forEach((part, index) => {
      total += part.weight;
      this.#ends[index] = total;
    });
    this.#total = total;
  }

  pick(random: number): T | undefined {
    const ends = this.#ends;
    const last = ends.length - 1;
    if (last <= 0) return this.#parts[0];
    const point = random * this.#total;
    if (last + 1 >= bisectFrom) return this.#parts[bisect(ends, point)];
    let at = 0;
    // The last part takes the rest, so that a product rounded up to the total still has a part.
    while (at < last && point >= (ends[at] as number)) at++;
    return this.#parts[at];
  }
}

/** The first index whose end lies above `point`, or the last. */
function bisect(ends: Float64Array, point: number): number {
  let low = 0;
  let high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (point >= (ends[middle] as number)) low = middle + 1;
    else high = middle;
  }
  return low;
}
