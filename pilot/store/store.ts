/**
 * Where a pilot keeps what must outlive it: a small ordered key-value space in which every committed
 * transaction has a revision, readable as it was at a revision and watchable from one. Implementations stand
 * in `index.ts` and all pass `test/contract/store`.
 *
 * Keys are text, ordered by their UTF-8 bytes; a prefix is compared byte by byte and '' is everything.
 * Every call throws MeshError: `unavailable` (not reachable, or closed), `deadline_exceeded`, `compacted`,
 * `limit_exceeded`, `not_found` (a lease that is over), `denied`, `invalid`.
 */

/** The longest value, in bytes; larger things are stored in parts. */
export const maxValueBytes = 1024 * 1024;
/** The most compares, and the most operations, of one transaction. */
export const maxTransactionOperations = 128;
/** Keys and values of one transaction together, in bytes. */
export const maxTransactionBytes = 1280 * 1024;
/** How long a call may take unless its options say otherwise. */
export const defaultDeadlineMs = 5_000;

export interface Store {
  /** The registry's name of the implementation. */
  readonly kind: string;
  /**
   * Tells stores apart: another value means other history (another cluster, a file put back from a backup),
   * so revisions of before say nothing.
   */
  identity(options?: CallOptions): Promise<string>;
  /** The newest value of `key`, or undefined where there is none. */
  get(key: string, options?: CallOptions): Promise<Entry | undefined>;
  /** Everything under `prefix` in order of keys, as of one revision: the newest, or `atRevision`. */
  list(prefix: string, options?: ListOptions): Promise<Listing>;
  /**
   * Commits all operations as one revision if every compare holds, else nothing. After `unavailable` or
   * `deadline_exceeded` it may or may not have been committed: look before you repeat.
   */
  transact(transaction: Transaction, options?: CallOptions): Promise<TransactionResult>;
  /** Delivers every change under `prefix` with a revision of at least `fromRevision`, once and in order. */
  watch(prefix: string, fromRevision: number, watcher: Watcher): Watch;
  /** A lease of `ttlMs` (at least 1 s, whole seconds); keys put under it go when it ends. */
  grantLease(ttlMs: number, options?: CallOptions): Promise<Lease>;
  /** Forgets the history before `revision`: lists and watches that begin there fail with `compacted`. */
  compact(revision: number, options?: CallOptions): Promise<void>;
  /** Ends watches, timers and connections; leases live on until their time is over. */
  close(): Promise<void>;
}

export interface CallOptions {
  readonly deadlineMs?: number;
  /** Rejects with the signal's reason; the call may still take effect. */
  readonly signal?: AbortSignal;
}

export interface ListOptions extends CallOptions {
  readonly atRevision?: number;
}

export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Of the transaction that last wrote it. */
  readonly revision: number;
}

export interface Listing {
  /** The revision that this is the state of; watch from the next one. */
  readonly revision: number;
  readonly entries: readonly Entry[];
}

/** Holds while the key was last written at `revision`; 0 is "there is no such key". */
export interface Compare {
  readonly key: string;
  readonly revision: number;
}

/** No two operations of a transaction may touch the same key. */
export type Operation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly kind: 'delete'; readonly key: string }
  /** Everything under a prefix that is not empty. */
  | { readonly kind: 'delete_prefix'; readonly prefix: string };

export interface Transaction {
  readonly compares?: readonly Compare[];
  readonly operations: readonly Operation[];
}

export interface TransactionResult {
  /** False where a compare did not hold. */
  readonly succeeded: boolean;
  readonly revision: number;
}

export type StoreEvent =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array; readonly revision: number }
  | { readonly kind: 'delete'; readonly key: string; readonly revision: number };

/** What a watch tells; called one at a time and never from within a call of the store. */
export interface Watcher {
  /** All events of one or more whole revisions. */
  onEvents(events: readonly StoreEvent[]): void;
  /** Everything up to `revision` has been delivered. */
  onProgress?(revision: number): void;
  /** Connected; what happened meanwhile follows as events. */
  onConnected?(): void;
  /** The connection broke; the watch goes on by itself and loses nothing. */
  onDisconnected?(reason: unknown): void;
  /**
   * The watch is over and cannot be resumed, because the history it needs is gone: `compacted`, or
   * `conflict` where the store's revision went back. List again and watch from there.
   */
  onReset(reason: Error): void;
}

export interface Watch {
  /** Nothing is delivered after this. */
  close(): void;
}

export interface Lease {
  readonly id: string;
  /**
   * When its holder must stop relying on it, on the line of `Clock.nowMs`: counted from before the request
   * was sent, so it never lies after the store's own end of it.
   */
  readonly validUntilMs: number;
  /** Extends it by its whole time; `not_found` once it is over. */
  keepAlive(options?: CallOptions): Promise<void>;
  /** Ends it now, with its keys. Harmless where it is over. */
  revoke(options?: CallOptions): Promise<void>;
}
