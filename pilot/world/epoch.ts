/**
 * The epoch: which life of the store the revisions belong to. Sidecars take a lower revision only with a
 * higher epoch, so a new one begins whenever revisions may have gone back:
 *
 * - the store has no epoch yet (new, or wiped);
 * - the store is not the one that the epoch was begun on (`Store.identity`: another etcd cluster, a database
 *   file put back from a copy);
 * - a running pilot sees the store's revision go back;
 * - an operator says so (`newEpoch`), which a backup restored in place needs when no pilot was running.
 *
 * Epochs are seconds since 1970 at the time they began, so that the first one after a total loss is still
 * higher than all before. A new epoch costs nothing but a look at every snapshot: parts with the same
 * content keep their hashes.
 */
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { CallOptions, Store } from '../store/store.ts';
import { epochKey } from './keys.ts';
import { decode, type EpochValue, encode, epochFields } from './records.ts';

/** Pilots that begin an epoch at the same moment: all but one find it begun. */
const maxTries = 5;

export interface EpochOptions extends CallOptions {
  /** The answer must be higher than this epoch, or than the one the store has. */
  readonly mustFollow?: number | 'stored' | undefined;
}

/** The epoch in force, begun where it must be. */
export async function settleEpoch(store: Store, clock: Clock, options: EpochOptions = {}): Promise<number> {
  const identity = await store.identity(options);
  let above = typeof options.mustFollow === 'number' ? options.mustFollow : 0;
  for (let tries = 0; tries < maxTries; tries++) {
    const entry = await store.get(epochKey, options);
    const stored = entry === undefined ? undefined : readEpoch(entry.value);
    if (options.mustFollow === 'stored' && tries === 0) above = stored?.epoch ?? 0;
    if (stored?.store === identity && stored.epoch > above) return stored.epoch;
    const seconds = Math.floor(clock.wallMs() / 1_000);
    const epoch = Math.max(seconds, (stored?.epoch ?? 0) + 1, above + 1);
    const value: EpochValue = { epoch, store: identity };
    const { succeeded } = await store.transact(
      {
        compares: [{ key: epochKey, revision: entry?.revision ?? 0 }],
        operations: [{ kind: 'put', key: epochKey, value: encode(value) }],
      },
      options,
    );
    if (succeeded) return epoch;
  }
  throw new MeshError('conflict', 'the epoch is being changed by others again and again', {
    origin: 'upstream',
  });
}

function readEpoch(value: Uint8Array): EpochValue | undefined {
  try {
    return decode<EpochValue>(value, epochFields);
  } catch {
    return undefined;
  }
}
