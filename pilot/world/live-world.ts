/**
 * The World as the store has it now, kept current by one watch. While the store is away the last good World
 * stays; when the history is gone (compacted, or a store put back) it lists again and tells what differs.
 *
 *   opening ─ listed ─▶ watching ─ reset, gap ─▶ listing ─ listed ─▶ watching ─▶ … ─▶ closed
 */
import { createBackoff } from '../../kit/backoff.ts';
import { type Clock, sleep } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import type { Store, StoreEvent, Watch } from '../store/store.ts';
import { settleEpoch } from './epoch.ts';
import { type FoldResult, type FoldState, fold, foldListing, type WorldChange, withDead } from './fold.ts';
import { epochKey, worldPrefix } from './keys.ts';
import { createLiveness } from './liveness.ts';
import type { World } from './world.ts';
import { diffWorlds, isEmptyChange } from './world-diff.ts';

export interface LiveWorldOptions {
  readonly store: Store;
  readonly trustDomain: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Begins a new epoch: for a backup that was restored in place. */
  readonly newEpoch?: boolean;
  /** Ends the opening, which otherwise goes on until the store answers. */
  readonly signal?: AbortSignal;
}

export interface LiveWorld {
  /** The last good World. */
  readonly current: World;
  /** False while the store is away or is being listed again. */
  readonly isCurrent: boolean;
  /** Told synchronously of every next World; returns what ends it. */
  subscribe(listener: WorldListener): () => void;
  /** Resolves once the World is at `revision` or later; rejects with the signal's reason. */
  reached(revision: number, signal: AbortSignal): Promise<World>;
  close(): void;
}

export type WorldListener = (world: World, change: WorldChange, previous: World) => void;

const relist = { baseMs: 100, maxMs: 5_000, jitter: 0.5 };
/** A large world takes its time to list. */
const listDeadlineMs = 30_000;
/** How often dead nodes are looked for. */
const lookEveryMs = 1_000;
/** However well the watch works, everything is read again this often, for servers have lost events. */
const resyncEveryMs = 5 * 60_000;
const resyncJitter = 0.2;

/** Resolves with the first World; keeps trying while the store is away, and says so in the log. */
export async function openLiveWorld(options: LiveWorldOptions): Promise<LiveWorld> {
  const live = new StoredWorld(options);
  try {
    await live.open();
  } catch (thrown) {
    live.close();
    throw thrown;
  }
  return live;
}

class StoredWorld implements LiveWorld {
  readonly #options: LiveWorldOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #liveness;
  readonly #listeners = new Set<WorldListener>();
  readonly #waiting = new Set<{ revision: number; resolve: (world: World) => void }>();
  readonly #ended = new AbortController();
  #state: FoldState;
  /** The epoch that must be left behind, or whichever the store has. */
  #mustFollow: number | 'stored' | undefined;
  #watch: Watch | undefined;
  #listing: Promise<void> | undefined;
  #isConnected = false;

  constructor(options: LiveWorldOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#liveness = createLiveness(options.clock, lookEveryMs);
    this.#state = foldListing({ revision: 0, entries: [] }, options.trustDomain).state;
  }

  get current(): World {
    return this.#state.world;
  }

  get isCurrent(): boolean {
    return this.#isConnected && this.#listing === undefined;
  }

  subscribe(listener: WorldListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  reached(revision: number, signal: AbortSignal): Promise<World> {
    if (this.current.version.revision >= revision) return Promise.resolve(this.current);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const entry = {
        revision,
        resolve: (world: World) => {
          signal.removeEventListener('abort', onAbort);
          resolve(world);
        },
      };
      const onAbort = () => {
        this.#waiting.delete(entry);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(entry);
    });
  }

  close(): void {
    this.#ended.abort(new MeshError('unavailable', 'the world is closed', { origin: 'local' }));
    this.#watch?.close();
    this.#listeners.clear();
  }

  async open(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = () => this.#ended.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (this.#options.newEpoch) this.#mustFollow = 'stored';
    try {
      await this.#listUntilDone();
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    const looking = this.#clock.every(lookEveryMs, () => this.#look());
    this.#ended.signal.addEventListener('abort', () => looking.cancel(), { once: true });
    this.#resyncLater();
  }

  #resyncLater(): void {
    const factor = 1 + resyncJitter * (2 * this.#options.random() - 1);
    const timer = this.#clock.after(resyncEveryMs * factor, () => {
      this.#ended.signal.removeEventListener('abort', cancel);
      this.#relist('regular check');
      this.#resyncLater();
    });
    const cancel = () => timer.cancel();
    this.#ended.signal.addEventListener('abort', cancel, { once: true });
  }

  #relist(reason: string): void {
    if (this.#ended.signal.aborted || this.#listing !== undefined) return;
    this.#log.debug('world is listed again', { reason });
    this.#listing = this.#listUntilDone()
      .catch((thrown: unknown) => {
        if (!this.#ended.signal.aborted)
          this.#log.error('world cannot be listed', { error: messageOf(thrown) });
      })
      .finally(() => {
        this.#listing = undefined;
      });
  }

  async #listUntilDone(): Promise<void> {
    const backoff = createBackoff(relist, this.#options.random);
    for (;;) {
      try {
        await this.#list();
        return;
      } catch (thrown) {
        this.#ended.signal.throwIfAborted();
        this.#log.warn('store cannot be read', { error: messageOf(thrown) });
        this.#liveness.recovered();
      }
      await sleep(this.#clock, backoff.nextMs(), this.#ended.signal);
    }
  }

  async #list(): Promise<void> {
    const { store, trustDomain } = this.#options;
    const call = { deadlineMs: listDeadlineMs, signal: this.#ended.signal };
    // First, so that nothing newer than the listing is taken before it.
    this.#watch?.close();
    await this.#settleEpoch();
    const listing = await store.list(worldPrefix, call);
    const result = foldListing(listing, trustDomain);
    if (result.gap !== undefined) throw new MeshError('internal', result.gap, { origin: 'upstream' });
    this.#ended.signal.throwIfAborted();
    this.#take(result, diffWorlds);
    this.#watchFrom(listing.revision + 1);
  }

  /** Never begins an epoch on a store that lost everything while this pilot runs: the last good stays. */
  async #settleEpoch(): Promise<void> {
    const { store } = this.#options;
    const call = { signal: this.#ended.signal };
    if (this.current.version.revision > 0 && (await store.get(epochKey, call)) === undefined) {
      throw new MeshError(
        'unavailable',
        'the store is empty, its last good content stays in force; put a backup back, or restart the pilots to begin anew',
        { origin: 'upstream' },
      );
    }
    await settleEpoch(store, this.#clock, { ...call, mustFollow: this.#mustFollow });
    this.#mustFollow = undefined;
  }

  #watchFrom(revision: number): void {
    const watch = this.#options.store.watch(worldPrefix, revision, {
      onEvents: (events) => this.#onEvents(events),
      onConnected: () => {
        if (!this.#isConnected) this.#liveness.recovered();
        this.#isConnected = true;
      },
      onDisconnected: (reason) => {
        if (this.#isConnected) this.#log.warn('store is away', { error: messageOf(reason) });
        this.#isConnected = false;
      },
      onReset: (reason) => {
        this.#isConnected = false;
        const wentBack = reason instanceof MeshError && reason.code === 'conflict';
        if (wentBack) this.#mustFollow = this.current.version.epoch;
        this.#log.warn('store history is gone', { error: messageOf(reason) });
        this.#relist(messageOf(reason));
      },
    });
    this.#watch = watch;
  }

  #onEvents(events: readonly StoreEvent[]): void {
    const result = fold(this.#state, events);
    if (result.gap !== undefined) {
      this.#relist(result.gap);
      return;
    }
    this.#take(result, () => result.change);
  }

  #take(result: FoldResult, changeOf: (previous: World, next: World) => WorldChange): void {
    for (const problem of result.problems) this.#log.error('stored value ignored', { problem });
    const previous = this.current;
    const dead = this.#liveness.look(result.state.world.nodes.keys(), result.state.heard);
    const { world, changed } = withDead(result.state.world, dead);
    this.#state = { ...result.state, world };
    const change = changeOf(previous, world);
    this.#tell(previous, { ...change, nodes: new Set([...change.nodes, ...changed]) });
  }

  #look(): void {
    const previous = this.current;
    const dead = this.#liveness.look(previous.nodes.keys(), this.#state.heard);
    const { world, changed } = withDead(previous, dead);
    if (changed.size === 0) return;
    this.#log.warn('nodes changed their liveness', { nodes: [...changed], dead: dead.size });
    this.#state = { ...this.#state, world };
    this.#tell(previous, { resources: new Set(), nodes: changed, instances: new Set() });
  }

  #tell(previous: World, change: WorldChange): void {
    const world = this.current;
    for (const entry of this.#waiting) {
      if (entry.revision > world.version.revision) continue;
      this.#waiting.delete(entry);
      entry.resolve(world);
    }
    if (world.version === previous.version && isEmptyChange(change)) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(world, change, previous);
      } catch (thrown) {
        this.#log.error('world listener failed', {
          error: thrown instanceof Error ? thrown.stack : String(thrown),
        });
      }
    }
  }
}
