/**
 * Keeps the store small, from time to time and on any pilot: folds old change sets into a base, removes what
 * half-written sets left behind, and compacts the store's history. Everything here may fail or run twice.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Operation, Store } from '../store/store.ts';
import { writeParts } from './apply-changes.ts';
import { packLines } from './change-set.ts';
import {
  baseKey,
  basePartPrefix,
  idOfPart,
  intentPrefix,
  partPrefix,
  setPrefix,
  worldPrefix,
} from './keys.ts';
import type { LiveWorld } from './live-world.ts';
import {
  baseLine,
  decode,
  encode,
  type IntentValue,
  intentFields,
  type SetValue,
  setFields,
} from './records.ts';
import type { World } from './world.ts';

export const keepEveryMs = 5 * 60_000;
/** As many sets lie beside the base until they are folded into it. */
export const maxLooseSets = 64;
/** A set that is still being written after this long was given up. */
export const maxWriteMs = 10 * 60_000;
const passDeadlineMs = 60_000;
/** Two operations each, well below a transaction's limit. */
const setsPerTransaction = 50;

export interface HousekeepingOptions {
  readonly store: Store;
  readonly live: LiveWorld;
  readonly clock: Clock;
  readonly log: Log;
  readonly maxLooseSets?: number;
}

export interface Housekeeping {
  /** One pass, now. Throws the store's errors. */
  tidy(signal: AbortSignal): Promise<void>;
  close(): void;
}

export function startHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { store, clock, log } = options;
  const ended = new AbortController();
  /** Watchers that are further behind than one period list again. */
  let compactNext: number | undefined;
  let isBusy = false;

  const tidy = async (signal: AbortSignal): Promise<void> => {
    const { revision, entries } = await store.list(worldPrefix, { signal, deadlineMs: passDeadlineMs });
    const values = new Map(entries.map((entry) => [entry.key, entry]));
    await removeAbandoned(options, values, signal);
    await foldIntoBase(options, values, signal);
    if (compactNext !== undefined) await store.compact(compactNext, { signal });
    compactNext = revision;
  };
  const timer = clock.every(keepEveryMs, () => {
    if (isBusy) return;
    isBusy = true;
    tidy(ended.signal)
      .catch((thrown: unknown) => {
        if (!ended.signal.aborted) log.warn('housekeeping failed', { error: messageOf(thrown) });
      })
      .finally(() => {
        isBusy = false;
      });
  });
  return {
    tidy,
    close() {
      timer.cancel();
      ended.abort(new MeshError('unavailable', 'housekeeping is closed', { origin: 'local' }));
    },
  };
}

type Values = ReadonlyMap<string, { readonly value: Uint8Array; readonly revision: number }>;

/** Parts without an intent, a set or a base that names them belong to nothing; all were read at one revision. */
async function removeAbandoned(
  options: HousekeepingOptions,
  values: Values,
  signal: AbortSignal,
): Promise<void> {
  const named = await idsInUse(options, values, signal);
  const abandoned = new Set<string>();
  for (const key of values.keys()) {
    for (const prefix of [partPrefix, basePartPrefix]) {
      const id = key.startsWith(prefix) ? idOfPart(prefix, key) : undefined;
      if (id !== undefined && !named.has(id)) abandoned.add(`${prefix}${id}/`);
    }
  }
  for (const prefix of abandoned) {
    await options.store.transact({ operations: [{ kind: 'delete_prefix', prefix }] }, { signal });
  }
}

async function idsInUse(
  { store, clock }: HousekeepingOptions,
  values: Values,
  signal: AbortSignal,
): Promise<Set<string>> {
  const ids = new Set<string>();
  for (const [key, { value, revision }] of values) {
    if (key.startsWith(setPrefix) || key === baseKey) ids.add(decode<SetValue>(value, setFields).id);
    if (!key.startsWith(intentPrefix)) continue;
    const id = key.slice(intentPrefix.length);
    const { startedMs } = decode<IntentValue>(value, intentFields);
    if (clock.wallMs() - startedMs >= maxWriteMs) {
      const operations: Operation[] = [{ kind: 'delete', key }];
      const { succeeded } = await store.transact({ compares: [{ key, revision }], operations }, { signal });
      if (succeeded) continue;
    }
    ids.add(id);
  }
  return ids;
}

async function foldIntoBase(
  { store, live, clock, maxLooseSets: mostLoose = maxLooseSets }: HousekeepingOptions,
  values: Values,
  signal: AbortSignal,
): Promise<void> {
  const oldBase = values.get(baseKey);
  let baseRevision = oldBase === undefined ? 0 : decode<SetValue>(oldBase.value, setFields).revision;
  const world = live.current;
  if (world.version.revision - baseRevision >= mostLoose) {
    if (!(await writeBase({ store, clock, signal }, world, oldBase?.revision ?? 0))) return;
    baseRevision = world.version.revision;
  }
  const folded = [...values]
    .filter(([key]) => key.startsWith(setPrefix))
    .map(([key, { value }]) => ({ key, set: decode<SetValue>(value, setFields) }))
    .filter(({ set }) => set.revision <= baseRevision);
  for (let at = 0; at < folded.length; at += setsPerTransaction) {
    const operations = folded.slice(at, at + setsPerTransaction).flatMap(({ key, set }): Operation[] => [
      { kind: 'delete', key },
      { kind: 'delete_prefix', prefix: `${partPrefix}${set.id}/` },
    ]);
    await store.transact({ operations }, { signal });
  }
}

/** False where another pilot wrote a base meanwhile. The parts of the base before are abandoned by this. */
async function writeBase(
  work: { store: Store; clock: Clock; signal: AbortSignal },
  world: World,
  oldRevision: number,
): Promise<boolean> {
  const id = randomUUID();
  const parts = packLines(linesOf(world));
  const intent = await writeParts(work, basePartPrefix, id, parts);
  const base: SetValue = {
    revision: world.version.revision,
    id,
    parts: parts.length,
    timeMs: work.clock.wallMs(),
  };
  const { succeeded } = await work.store.transact(
    {
      compares: [
        { key: baseKey, revision: oldRevision },
        { key: intentPrefix + id, revision: intent },
      ],
      operations: [
        { kind: 'put', key: baseKey, value: encode(base) },
        { kind: 'delete', key: intentPrefix + id },
      ],
    },
    { signal: work.signal },
  );
  return succeeded;
}

function* linesOf(world: World): Iterable<string> {
  for (const table of world.resources.values()) {
    for (const stored of table.values()) yield baseLine(stored);
  }
}
