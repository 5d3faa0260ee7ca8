/**
 * The store of a single pilot: one SQLite file in WAL mode, nothing to install. SQLite works at once and in
 * this process, so deadlines are never missed; watchers are told after the transaction, in a microtask.
 *
 * Leases run by our clock. Their deadlines are not written down: when the file is opened again each lease
 * begins its whole time anew, so a restarted pilot never finds every node dead.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, systemClock, type Timer } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import { checkTransaction } from './check.ts';
import { type EmbeddedTables, openTables } from './embedded-tables.ts';
import type {
  CallOptions,
  Entry,
  Lease,
  Listing,
  ListOptions,
  Operation,
  Store,
  Transaction,
  TransactionResult,
  Watch,
  Watcher,
} from './store.ts';

/** A watcher reads this many revisions at a time, so that a long history does not fill the memory. */
const replayRevisions = 256;

export interface EmbeddedOptions {
  /** The database file; its folder must exist. */
  readonly path: string;
  readonly clock?: Clock;
}

export function openEmbeddedStore(options: EmbeddedOptions): Promise<Store> {
  return Promise.resolve().then(() => {
    return new EmbeddedStore(openTables(options.path), options);
  });
}

interface LiveLease {
  readonly id: string;
  readonly ttlMs: number;
  validUntilMs: number;
  timer: Timer;
}

interface LiveWatch {
  readonly prefix: string;
  readonly watcher: Watcher;
  next: number;
}

class EmbeddedStore implements Store {
  readonly kind = 'embedded';
  readonly #path: string;
  readonly #clock: Clock;
  readonly #leases = new Map<string, LiveLease>();
  readonly #watches = new Set<LiveWatch>();
  #tables: EmbeddedTables | undefined;
  #isDeliveryDue = false;

  constructor(tables: EmbeddedTables, { path, clock = systemClock }: EmbeddedOptions) {
    this.#tables = tables;
    this.#path = path;
    this.#clock = clock;
    for (const { id, ttlMs } of tables.leases()) this.#startLease(id, ttlMs);
  }

  identity(options?: CallOptions): Promise<string> {
    return this.#call(options, (tables) => tables.identity);
  }

  get(key: string, options?: CallOptions): Promise<Entry | undefined> {
    return this.#call(options, (tables) => tables.newest(key));
  }

  list(prefix: string, options?: ListOptions): Promise<Listing> {
    return this.#call(options, (tables) => {
      const revision = options?.atRevision ?? tables.revision;
      if (revision < tables.compacted) throw compacted(revision, tables.compacted);
      if (revision > tables.revision) throw yetToCome(revision);
      return { revision, entries: tables.list(prefix, revision) };
    });
  }

  transact(transaction: Transaction, options?: CallOptions): Promise<TransactionResult> {
    return this.#call(options, (tables) => {
      checkTransaction(transaction);
      const holds = (transaction.compares ?? []).every(
        (compare) => (tables.newest(compare.key)?.revision ?? 0) === compare.revision,
      );
      if (!holds) return { succeeded: false, revision: tables.revision };
      this.#commit(tables, transaction.operations);
      return { succeeded: true, revision: tables.revision };
    });
  }

  watch(prefix: string, fromRevision: number, watcher: Watcher): Watch {
    const watch: LiveWatch = { prefix, watcher, next: fromRevision };
    this.#watches.add(watch);
    queueMicrotask(() => this.#begin(watch));
    return { close: () => void this.#watches.delete(watch) };
  }

  grantLease(ttlMs: number, options?: CallOptions): Promise<Lease> {
    return this.#call(options, (tables) => {
      const id = randomUUID();
      tables.addLease({ id, ttlMs });
      const live = this.#startLease(id, ttlMs);
      return {
        id,
        get validUntilMs() {
          return live.validUntilMs;
        },
        keepAlive: (call) => this.#call(call, () => this.#extend(live)),
        revoke: (call) => this.#call(call, () => this.#end(live)),
      };
    });
  }

  compact(revision: number, options?: CallOptions): Promise<void> {
    return this.#call(options, (tables) => {
      if (revision > tables.revision) throw yetToCome(revision);
      if (revision > tables.compacted) tables.atomically(() => tables.compact(revision));
    });
  }

  close(): Promise<void> {
    for (const lease of this.#leases.values()) lease.timer.cancel();
    this.#leases.clear();
    this.#watches.clear();
    this.#tables?.close();
    this.#tables = undefined;
    return Promise.resolve();
  }

  async #call<T>(options: CallOptions | undefined, work: (tables: EmbeddedTables) => T): Promise<T> {
    options?.signal?.throwIfAborted();
    if (this.#tables === undefined) throw unavailable('the store is closed');
    try {
      return work(this.#tables);
    } catch (thrown) {
      if (thrown instanceof MeshError) throw thrown;
      const hint = isFull(thrown) ? '; make room on its disk and try again' : '';
      throw unavailable(`the store file ${this.#path} cannot be used: ${messageOf(thrown)}${hint}`, thrown);
    }
  }

  #commit(tables: EmbeddedTables, operations: readonly Operation[]): void {
    const revision = tables.revision + 1;
    const before = tables.revision;
    try {
      tables.atomically(() => {
        const changed = operations.reduce(
          (sum, operation) => sum + this.#write(tables, revision, operation),
          0,
        );
        if (changed > 0) tables.setRevision(revision);
      });
    } catch (thrown) {
      tables.revision = before;
      throw thrown;
    }
    this.#deliverSoon();
  }

  /** How many keys it changed. */
  #write(tables: EmbeddedTables, revision: number, operation: Operation): number {
    if (operation.kind === 'put') {
      const lease = operation.lease ?? null;
      if (lease !== null && !this.#leases.has(lease)) throw leaseOver(lease);
      tables.append({ key: operation.key, revision, value: operation.value, lease });
      return 1;
    }
    const keys =
      operation.kind === 'delete'
        ? [operation.key].filter((key) => tables.newest(key) !== undefined)
        : tables.list(operation.prefix, tables.revision).map((entry) => entry.key);
    for (const key of keys) tables.append({ key, revision, value: null, lease: null });
    return keys.length;
  }

  #startLease(id: string, ttlMs: number): LiveLease {
    const live: LiveLease = {
      id,
      ttlMs,
      validUntilMs: this.#clock.nowMs() + ttlMs,
      timer: this.#clock.after(ttlMs, () => this.#onLeaseTimer(live)),
    };
    this.#leases.set(id, live);
    return live;
  }

  /** An extended lease only moves its deadline; the timer of before finds that out here. */
  #onLeaseTimer(live: LiveLease): void {
    const leftMs = live.validUntilMs - this.#clock.nowMs();
    if (leftMs > 0) {
      live.timer = this.#clock.after(leftMs, () => this.#onLeaseTimer(live));
      return;
    }
    try {
      this.#end(live);
    } catch {
      // The disk is full or gone: the keys stay, and the next look comes a whole time later.
      live.timer = this.#clock.after(live.ttlMs, () => this.#onLeaseTimer(live));
    }
  }

  #extend(live: LiveLease): void {
    if (!this.#leases.has(live.id) || this.#clock.nowMs() >= live.validUntilMs) throw leaseOver(live.id);
    live.validUntilMs = this.#clock.nowMs() + live.ttlMs;
  }

  #end(live: LiveLease): void {
    const tables = this.#tables;
    if (tables === undefined || !this.#leases.has(live.id)) return;
    const keys = tables.keysOf(live.id);
    if (keys.length > 0) {
      this.#commit(
        tables,
        keys.map((key) => ({ kind: 'delete', key })),
      );
    }
    tables.removeLease(live.id);
    live.timer.cancel();
    this.#leases.delete(live.id);
  }

  #begin(watch: LiveWatch): void {
    const tables = this.#tables;
    if (tables === undefined || !this.#watches.has(watch)) return;
    if (watch.next <= tables.compacted) {
      this.#watches.delete(watch);
      watch.watcher.onReset(compacted(watch.next, tables.compacted));
      return;
    }
    if (watch.next > tables.revision + 1) {
      this.#watches.delete(watch);
      watch.watcher.onReset(
        new MeshError('conflict', `the store is at revision ${tables.revision}, before ${watch.next}`, {
          origin: 'upstream',
        }),
      );
      return;
    }
    watch.watcher.onConnected?.();
    this.#deliver(watch);
  }

  #deliverSoon(): void {
    if (this.#isDeliveryDue || this.#watches.size === 0) return;
    this.#isDeliveryDue = true;
    queueMicrotask(() => {
      this.#isDeliveryDue = false;
      for (const watch of [...this.#watches]) this.#deliver(watch);
    });
  }

  #deliver(watch: LiveWatch): void {
    for (;;) {
      const tables = this.#tables;
      if (tables === undefined || !this.#watches.has(watch) || watch.next > tables.revision) return;
      const last = Math.min(watch.next + replayRevisions - 1, tables.revision);
      const events = tables.events(watch.prefix, watch.next, last);
      watch.next = last + 1;
      if (events.length > 0) watch.watcher.onEvents(events);
      watch.watcher.onProgress?.(last);
    }
  }
}

function compacted(revision: number, at: number): MeshError {
  return new MeshError('compacted', `revision ${revision} is gone, compacted at ${at}`, {
    origin: 'upstream',
  });
}

function yetToCome(revision: number): MeshError {
  return new MeshError('invalid', `revision ${revision} is yet to come`, { origin: 'local' });
}

function leaseOver(id: string): MeshError {
  return new MeshError('not_found', `lease ${id} is over`, { origin: 'upstream' });
}

function unavailable(message: string, cause?: unknown): MeshError {
  return new MeshError('unavailable', message, { origin: 'local', cause });
}

/** SQLITE_FULL, https://sqlite.org/rescode.html. */
function isFull(thrown: unknown): boolean {
  return (thrown as { errcode?: unknown }).errcode === 13;
}
