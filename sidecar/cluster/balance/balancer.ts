/**
 * Balancing: a policy builds a picker from the endpoints that may be picked now; when that set changes
 * the picker is thrown away and a new one takes its place. The request path only calls `pick`.
 */
export interface Candidate {
  /** Above 0. */
  readonly weight: number;
  /** Requests in flight now. */
  readonly active: number;
}

export interface Picker<T extends Candidate> {
  pick(): T;
}

/** A policy: the name that configuration uses and a way to build a picker. */
export interface BalancePolicy {
  readonly name: string;
  /** `candidates` is never empty. */
  build<T extends Candidate>(candidates: readonly T[], random: () => number): Picker<T>;
}
