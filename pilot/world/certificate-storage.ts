/** Where the CA's encrypted state and the join tokens stand in the pilots' store; `certs/` says what they are. */
import type { CaStorage } from '../../certs/ca-state.ts';
import type { TokenStorage } from '../../certs/join-tokens.ts';
import type { Clock } from '../../kit/clock.ts';
import type { Operation, Store } from '../store/store.ts';
import { authorityKey, tokenPrefix } from './keys.ts';

/** A store takes no shorter leases. */
const minLeaseMs = 1_000;

export function createCaStorage(store: Store): CaStorage {
  return {
    load: () => load(store, authorityKey),
    save: (bytes, revision) => save(store, { kind: 'put', key: authorityKey, value: bytes }, revision),
  };
}

/** Tokens are kept under leases, so that old ones go by themselves. */
export function createTokenStorage(store: Store, clock: Clock): TokenStorage {
  return {
    load: (id) => load(store, tokenPrefix + id),
    async save(id, bytes, revision, keepUntilMs) {
      const lease = await store.grantLease(Math.max(keepUntilMs - clock.wallMs(), minLeaseMs));
      const put = { kind: 'put', key: tokenPrefix + id, value: bytes, lease: lease.id } as const;
      const isSaved = await save(store, put, revision);
      if (!isSaved) await lease.revoke();
      return isSaved;
    },
  };
}

async function load(store: Store, key: string) {
  const entry = await store.get(key);
  return entry && { bytes: entry.value, revision: entry.revision };
}

async function save(store: Store, put: Operation & { kind: 'put' }, revision: number): Promise<boolean> {
  const compares = [{ key: put.key, revision }];
  return (await store.transact({ compares, operations: [put] })).succeeded;
}
