/**
 * Makes a change set take force, whole or not at all: its parts are written first, under an intent, and one
 * transaction then compares and sets `head`. A pilot that dies in between leaves an intent and parts that
 * mean nothing; `housekeeping.ts` removes them, the intent first, so that a slow writer cannot take force
 * over parts that are gone.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import { type CallOptions, maxTransactionBytes, type Operation, type Store } from '../store/store.ts';
import {
  type ChangeOutcome,
  type ChangePlan,
  checkSize,
  describeRef,
  maxPartBytes,
  packLines,
  planChanges,
  type ResourceChange,
  type RevisionConflict,
} from './change-set.ts';
import { type basePartPrefix, headKey, intentPrefix, partKey, partPrefix, setKey } from './keys.ts';
import type { LiveWorld } from './live-world.ts';
import {
  changeLine,
  decode,
  encode,
  type HeadValue,
  headFields,
  type SetValue,
  setFields,
} from './records.ts';
import type { World } from './world.ts';

/** Change sets that meet: each try means that another one took force. */
const maxTries = 20;
/** The whole of an apply, the wait for this pilot's own World included. */
const applyDeadlineMs = 30_000;
/** Parts that one transaction carries to the store. */
const partsPerWrite = Math.floor(maxTransactionBytes / (maxPartBytes + 1024));

export interface ApplyOptions extends CallOptions {
  /** Says what would happen and changes nothing. */
  readonly dryRun?: boolean;
}

export interface ApplyResult {
  /** The World's revision afterwards (as it is, for a dry run or where nothing changes). */
  readonly revision: number;
  readonly outcomes: readonly ChangeOutcome[];
  /** Where there are any, nothing was changed. */
  readonly conflicts: readonly RevisionConflict[];
}

export interface ChangeApplier {
  /**
   * Applies all changes or none. Throws `conflict` where others kept changing the world, `limit_exceeded`,
   * `invalid`, and the store's errors; after `unavailable` and `deadline_exceeded` the outcome is unknown.
   */
  apply(changes: readonly ResourceChange[], options?: ApplyOptions): Promise<ApplyResult>;
}

export function createChangeApplier(store: Store, live: LiveWorld, clock: Clock): ChangeApplier {
  return {
    async apply(changes, options = {}) {
      const deadlineMs = options.deadlineMs ?? applyDeadlineMs;
      const late = new AbortController();
      const timer = clock.after(deadlineMs, () =>
        late.abort(
          new MeshError('deadline_exceeded', `not applied within ${deadlineMs} ms`, { origin: 'local' }),
        ),
      );
      const signal =
        options.signal === undefined ? late.signal : AbortSignal.any([late.signal, options.signal]);
      try {
        return await applyWithin({ store, live, clock, signal }, changes, options.dryRun === true);
      } finally {
        timer.cancel();
      }
    },
  };
}

interface Work {
  readonly store: Store;
  readonly live: LiveWorld;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

async function applyWithin(
  work: Work,
  changes: readonly ResourceChange[],
  isDryRun: boolean,
): Promise<ApplyResult> {
  for (let tries = 0; tries < maxTries; tries++) {
    const head = await readHead(work);
    const world = await work.live.reached(head.revision, work.signal);
    const { revision } = world.version;
    if (revision !== head.revision) continue;
    const plan = planChanges(world, changes, work.clock.wallMs());
    if (plan.conflicts.length > 0) return { revision, outcomes: [], conflicts: plan.conflicts };
    if (isDryRun || plan.effective.length === 0) return { revision, outcomes: plan.outcomes, conflicts: [] };
    if (!(await commit(work, world, head.storeRevision, plan))) continue;
    await work.live.reached(revision + 1, work.signal);
    return { revision: revision + 1, outcomes: plan.outcomes, conflicts: [] };
  }
  throw new MeshError('conflict', `other changes came first ${maxTries} times`, { origin: 'local' });
}

interface Head {
  /** Of the newest change set. */
  readonly revision: number;
  /** Of the key, to compare with. */
  readonly storeRevision: number;
}

async function readHead({ store, signal }: Work): Promise<Head> {
  const entry = await store.get(headKey, { signal });
  if (entry === undefined) return { revision: 0, storeRevision: 0 };
  const { revision } = decode<HeadValue>(entry.value, headFields);
  return { revision, storeRevision: entry.revision };
}

/** False where another change set came first. */
async function commit(work: Work, world: World, headRevision: number, plan: ChangePlan): Promise<boolean> {
  const { store, clock, signal } = work;
  const id = randomUUID();
  const revision = world.version.revision + 1;
  const lines = plan.effective.map(changeLine);
  checkSize(lines);
  const parts = packLines(lines);
  const intent = await writeParts(work, partPrefix, id, parts);
  const set: SetValue = { revision, id, parts: parts.length, timeMs: clock.wallMs() };
  const head: HeadValue = { revision, id };
  try {
    const { succeeded } = await store.transact(
      {
        compares: [
          { key: headKey, revision: headRevision },
          { key: intentPrefix + id, revision: intent },
        ],
        operations: [
          { kind: 'put', key: headKey, value: encode(head) },
          { kind: 'put', key: setKey(revision), value: encode(set) },
          { kind: 'delete', key: intentPrefix + id },
        ],
      },
      { signal },
    );
    if (succeeded) return true;
  } catch (thrown) {
    // Sent, but not answered: what stands in the store says whether it took force.
    if (!(await tookForce(work, revision, id, thrown))) throw thrown;
    return true;
  }
  await discard(store, id);
  return false;
}

async function tookForce(
  { store, signal }: Work,
  revision: number,
  id: string,
  thrown: unknown,
): Promise<boolean> {
  if (!(thrown instanceof MeshError) || !['unavailable', 'deadline_exceeded'].includes(thrown.code))
    return false;
  try {
    const entry = await store.get(setKey(revision), { signal });
    return entry !== undefined && decode<SetValue>(entry.value, setFields).id === id;
  } catch {
    return false;
  }
}

/** Writes an intent, then all parts; returns the intent's revision, which the last step compares. */
export async function writeParts(
  { store, clock, signal }: Omit<Work, 'live'>,
  prefix: typeof partPrefix | typeof basePartPrefix,
  id: string,
  parts: readonly Uint8Array[],
): Promise<number> {
  const key = intentPrefix + id;
  const { revision } = await store.transact(
    { operations: [{ kind: 'put', key, value: encode({ startedMs: clock.wallMs() }) }] },
    { signal },
  );
  for (let at = 0; at < parts.length; at += partsPerWrite) {
    const operations = parts
      .slice(at, at + partsPerWrite)
      .map((value, index): Operation => ({ kind: 'put', key: partKey(prefix, id, at + index), value }));
    await store.transact({ compares: [{ key, revision }], operations }, { signal });
  }
  return revision;
}

/** Best effort: what stays is found by housekeeping. */
async function discard(store: Store, id: string): Promise<void> {
  try {
    await store.transact({
      operations: [
        { kind: 'delete', key: intentPrefix + id },
        { kind: 'delete_prefix', prefix: `${partPrefix}${id}/` },
      ],
    });
  } catch {
    // Housekeeping removes it.
  }
}

/** One line per conflict, for messages. */
export function describeConflict(conflict: RevisionConflict): string {
  const actual = conflict.actual === 0 ? 'does not exist' : `is at revision ${conflict.actual}`;
  const expected = conflict.expected === 0 ? 'not to exist' : `revision ${conflict.expected}`;
  return `${describeRef(conflict.ref)} ${actual}, expected ${expected}`;
}
