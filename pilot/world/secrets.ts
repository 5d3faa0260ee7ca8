/** Secrets that all pilots share, such as the CA's keys; they are encrypted before they come here. */
import type { CallOptions, Store } from '../store/store.ts';
import { secretPrefix } from './keys.ts';

export interface Secret {
  readonly value: Uint8Array;
  /** The precondition of the next `put`. */
  readonly revision: number;
}

export interface Secrets {
  get(name: string, options?: CallOptions): Promise<Secret | undefined>;
  /** Writes it if it is still at `revision` (0: not there yet); false where another pilot came first. */
  put(name: string, value: Uint8Array, revision: number, options?: CallOptions): Promise<boolean>;
}

export function createSecrets(store: Store): Secrets {
  return {
    async get(name, options) {
      const entry = await store.get(secretPrefix + name, options);
      return entry && { value: entry.value, revision: entry.revision };
    },
    async put(name, value, revision, options) {
      const key = secretPrefix + name;
      const { succeeded } = await store.transact(
        { compares: [{ key, revision }], operations: [{ kind: 'put', key, value }] },
        options,
      );
      return succeeded;
    },
  };
}
