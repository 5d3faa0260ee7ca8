/**
 * Remembers parts together with what was read to build them. A part is built anew only if one of those reads
 * would answer otherwise today, and even then the old value stays where the new one equals it: an unrelated
 * change leaves every part the same object, so it is encoded once and not pushed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Catalog, Kind, Stored } from './catalog.ts';

/** Parts kept at most; beyond it those that the present resources did not ask for are dropped. */
const maxParts = 200_000;

export interface Memo {
  /** The part called `name`, built by `build` from what it reads through the given catalog. */
  part<T>(catalog: Catalog, name: string, build: (catalog: Catalog) => T): T;
}

interface Read {
  readonly kind: Kind;
  readonly key: string;
  /** One resource (or none), or a list of them. */
  readonly seen: Stored<Kind> | undefined | readonly Stored<Kind>[];
}

interface Entry {
  value: unknown;
  reads: readonly Read[];
  /** The catalog in which the reads were last found unchanged. */
  catalog: Catalog;
}

export function createMemo(): Memo {
  const entries = new Map<string, Entry>();
  return {
    part<T>(catalog: Catalog, name: string, build: (catalog: Catalog) => T): T {
      const entry = entries.get(name);
      if (entry !== undefined && isCurrent(entry, catalog)) {
        entry.catalog = catalog;
        return entry.value as T;
      }
      const reads: Read[] = [];
      const built = build(recording(catalog, reads));
      if (entry === undefined) {
        if (entries.size >= maxParts) dropOthers(entries, catalog);
        entries.set(name, { value: built, reads, catalog });
        return built;
      }
      if (!isDeepStrictEqual(entry.value, built)) entry.value = built;
      entry.reads = reads;
      entry.catalog = catalog;
      return entry.value as T;
    },
  };
}

function isCurrent(entry: Entry, catalog: Catalog): boolean {
  return entry.catalog === catalog || entry.reads.every((read) => isSame(read, catalog));
}

function isSame({ kind, key, seen }: Read, catalog: Catalog): boolean {
  if (!Array.isArray(seen)) return catalog.get(kind, key) === seen;
  const now = catalog.list(kind, key);
  return now === seen || (now.length === seen.length && now.every((one, index) => one === seen[index]));
}

function recording(catalog: Catalog, reads: Read[]): Catalog {
  return {
    get(kind, key) {
      const seen = catalog.get(kind, key);
      reads.push({ kind, key, seen });
      return seen;
    },
    list(kind, key) {
      const seen = catalog.list(kind, key);
      reads.push({ kind, key, seen });
      return seen;
    },
  };
}

function dropOthers(entries: Map<string, Entry>, catalog: Catalog): void {
  for (const [name, entry] of entries) if (entry.catalog !== catalog) entries.delete(name);
}
