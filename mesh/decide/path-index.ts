// hot: one walk over the path of every request (bench/micro/routes.ts).
/**
 * Finds which exact paths and which prefixes of whole elements a request path has, in one pass without a copy.
 *
 *     /shop/orders/7?x=1
 *          ^      ^ ^       at each mark: is the hash of what lies left of it that of a known prefix?
 *                   ^       at the query or the end: of a known exact path?
 *
 * The hash only finds the candidate; the text is compared then, so a collision costs time, never a wrong answer.
 */

const slash = 47;
const questionMark = 63;
const hashSeed = 0x811c9dc5;
const hashPrime = 16777619;

/** The rules that hang on one path, as ascending rule indexes. */
export interface PathEntry {
  readonly path: string;
  readonly rules: Int32Array;
}

const noRules = new Int32Array(0);

export class PathIndex {
  readonly #exact: HashTable;
  readonly #prefixes: HashTable;
  /** Characters after which nothing can match any more. */
  readonly #longest: number;
  readonly #found: PathEntry[];
  #foundCount = 0;

  /** Prefixes are without their closing slash; the prefix of everything (`/`) is not among them. */
  constructor(exact: readonly PathEntry[], prefixes: readonly PathEntry[]) {
    this.#exact = new HashTable(exact);
    this.#prefixes = new HashTable(prefixes);
    this.#longest = Math.max(this.#exact.longest, this.#prefixes.longest);
    this.#found = new Array(countLengths(prefixes));
  }

  /** Walks `path` (its query is left out); answers the rules of the equal path, and remembers the prefixes. */
  walk(path: string): Int32Array {
    this.#foundCount = 0;
    const longest = this.#longest;
    const length = path.length;
    let hash = hashSeed;
    let at = 0;
    for (; at < length; at++) {
      const code = path.charCodeAt(at);
      if (code === questionMark) break;
      if (code === slash && at > 0) this.#probePrefix(path, at, hash);
      if (at >= longest) return noRules;
      hash = Math.imul(hash ^ code, hashPrime);
    }
    this.#probePrefix(path, at, hash);
    return this.#exact.find(path, at, hash)?.rules ?? noRules;
  }

  /** How many prefixes the last walk found. */
  get prefixCount(): number {
    return this.#foundCount;
  }

  /** The rules of the n-th prefix that the last walk found, shortest first. */
  prefixRules(n: number): Int32Array {
    return this.#found[n]?.rules ?? noRules;
  }

  #probePrefix(path: string, end: number, hash: number): void {
    const entry = this.#prefixes.find(path, end, hash);
    if (entry !== undefined) this.#found[this.#foundCount++] = entry;
  }
}

/** Open addressing with linear probing, at most half full. */
class HashTable {
  readonly longest: number;
  readonly #mask: number;
  readonly #slots: readonly (PathEntry | undefined)[];

  constructor(entries: readonly PathEntry[]) {
    let size = 2;
    while (size < entries.length * 2) size *= 2;
    const slots = new Array<PathEntry | undefined>(size).fill(undefined);
    let longest = 0;
    for (const entry of entries) {
      let slot = spread(hashOf(entry.path)) & (size - 1);
      while (slots[slot] !== undefined) slot = (slot + 1) & (size - 1);
      slots[slot] = entry;
      longest = Math.max(longest, entry.path.length);
    }
    this.longest = longest;
    this.#mask = size - 1;
    this.#slots = slots;
  }

  /** The entry that equals the first `end` characters of `path`, whose hash is `hash`. */
  find(path: string, end: number, hash: number): PathEntry | undefined {
    let slot = spread(hash) & this.#mask;
    for (;;) {
      const entry = this.#slots[slot];
      if (entry === undefined) return undefined;
      if (entry.path.length === end && path.startsWith(entry.path)) return entry;
      slot = (slot + 1) & this.#mask;
    }
  }
}

function hashOf(path: string): number {
  let hash = hashSeed;
  for (let at = 0; at < path.length; at++) hash = Math.imul(hash ^ path.charCodeAt(at), hashPrime);
  return hash;
}

/** The low bits alone of this hash are weak; the high ones are folded in. */
function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}

/** One path has at most one prefix of each length. */
function countLengths(entries: readonly PathEntry[]): number {
  return new Set(entries.map((entry) => entry.path.length)).size;
}
