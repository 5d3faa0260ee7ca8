/** Compare-and-set storage in memory for an authority and its join tokens, with a count of what was saved. */
import type { CaStorage } from '../../certs/ca-state.ts';
import type { TokenStorage } from '../../certs/join-tokens.ts';

interface MemoryRecord {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

export class MemoryRecordStorage implements TokenStorage {
  readonly records = new Map<string, MemoryRecord>();
  #revision = 0;

  async load(id: string): Promise<MemoryRecord | undefined> {
    await Promise.resolve();
    return this.records.get(id);
  }

  async save(id: string, bytes: Uint8Array, revision: number): Promise<boolean> {
    await Promise.resolve();
    if ((this.records.get(id)?.revision ?? 0) !== revision) return false;
    this.records.set(id, { bytes, revision: ++this.#revision });
    return true;
  }

  /** The same storage as an authority sees it. */
  forCa(): CaStorage {
    return { load: () => this.load('ca'), save: (bytes, revision) => this.save('ca', bytes, revision) };
  }
}
