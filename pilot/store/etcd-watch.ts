/**
 * One watch on etcd that neither loses nor doubles an event, over broken connections and killed servers.
 *
 * `next` is the first revision not yet delivered. It moves with delivered events and with progress
 * notifications, never with the answer to the creation of a watch, which carries the store's newest revision
 * although older events are still to come. After a break the watch begins again at `next`; events before
 * `next`, which some servers send twice, are dropped.
 */
import { InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import type { IEvent, IWatchRequest, IWatchResponse } from 'etcd3';
import { type Backoff, createBackoff } from '../../kit/backoff.ts';
import type { Clock, Timer } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Random } from '../../kit/random.ts';
import { fromEtcd } from './etcd-errors.ts';
import type { StoreEvent, Watch, Watcher } from './store.ts';

export interface WatchStream {
  on(event: 'data', fn: (response: IWatchResponse) => void): unknown;
  on(event: 'error', fn: (error: Error) => void): unknown;
  on(event: 'end', fn: () => void): unknown;
  write(request: IWatchRequest): void;
  cancel(): void;
}

export interface EtcdWatchOptions {
  readonly range: { readonly key: Buffer; readonly range_end?: Buffer };
  readonly fromRevision: number;
  readonly watcher: Watcher;
  readonly clock: Clock;
  readonly random: Random;
  /** How long the server may take to confirm a watch. */
  readonly createDeadlineMs: number;
  open(): Promise<WatchStream>;
  /** The store's newest revision, read from a quorum, and which cluster it is. */
  head(): Promise<{ readonly revision: number; readonly cluster: string }>;
  /** The key of ours that etcd's `key` stands for. */
  keyOf(key: Buffer): string;
  onClose(): void;
}

const reconnect = { baseMs: 100, maxMs: 5_000, jitter: 0.5 };

/** Makes a member that has lost its leader end the watch instead of keeping it silent. */
export const requireLeader: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start(metadata, listener, next) {
      const own = metadata.clone();
      own.set('hasleader', 'true');
      next(own, listener);
    },
  });

/** One connection's worth of a watch; an attempt that is over is deaf. */
interface Attempt {
  stream: WatchStream | undefined;
  timer: Timer | undefined;
  isOver: boolean;
  fragments: IEvent[];
}

export class EtcdWatch implements Watch {
  readonly #options: EtcdWatchOptions;
  readonly #backoff: Backoff;
  #next: number;
  #cluster: string | undefined;
  #attempt: Attempt | undefined;
  #retry: Timer | undefined;
  #isClosed = false;

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
    this.#next = options.fromRevision;
    this.#backoff = createBackoff(reconnect, options.random);
    this.#connect();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#retry?.cancel();
    this.#endAttempt();
    this.#options.onClose();
  }

  #connect(): void {
    const attempt: Attempt = { stream: undefined, timer: undefined, isOver: false, fragments: [] };
    this.#attempt = attempt;
    attempt.timer = this.#options.clock.after(this.#options.createDeadlineMs, () =>
      this.#onBreak(
        attempt,
        new MeshError('deadline_exceeded', 'etcd watch: not confirmed in time', { origin: 'upstream' }),
      ),
    );
    this.#options.open().then(
      (stream) => this.#onStream(attempt, stream),
      (thrown: unknown) => this.#onBreak(attempt, fromEtcd('watch', thrown)),
    );
  }

  #onStream(attempt: Attempt, stream: WatchStream): void {
    // Also where the attempt is over already: a stream that nobody listens to would end the process.
    stream.on('error', (error) => this.#onBreak(attempt, fromEtcd('watch', error)));
    stream.on('end', () =>
      this.#onBreak(
        attempt,
        new MeshError('unavailable', 'etcd watch: the server ended it', { origin: 'upstream' }),
      ),
    );
    if (attempt.isOver) {
      stream.cancel();
      return;
    }
    attempt.stream = stream;
    stream.on('data', (response) => this.#onResponse(attempt, response));
    stream.write({
      create_request: {
        ...this.#options.range,
        start_revision: String(this.#next),
        progress_notify: true,
        fragment: true,
      },
    });
  }

  #onResponse(attempt: Attempt, response: IWatchResponse): void {
    if (attempt.isOver) return;
    if (response.canceled) this.#onCanceled(attempt, response);
    else if (response.created) this.#onCreated(attempt, response);
    else this.#onEvents(attempt, response);
  }

  #onCreated(attempt: Attempt, response: IWatchResponse): void {
    attempt.timer?.cancel();
    this.#backoff.reset();
    const cluster = response.header.cluster_id;
    this.#cluster ??= cluster;
    if (cluster !== this.#cluster) {
      this.#reset('conflict', `etcd watch: cluster ${cluster} answers instead of ${this.#cluster}`);
      return;
    }
    if (Number(response.header.revision) < this.#next - 1) this.#confirmHistory(attempt);
    this.#options.watcher.onConnected?.();
  }

  /** A member that answers from before our revision lags behind, or the history was lost: a quorum knows. */
  #confirmHistory(attempt: Attempt): void {
    this.#options.head().then(
      (head) => {
        if (attempt.isOver || head.revision >= this.#next - 1) return;
        this.#reset('conflict', `etcd is at revision ${head.revision}, before ${this.#next}`);
      },
      (thrown: unknown) => this.#onBreak(attempt, thrown),
    );
  }

  #onCanceled(attempt: Attempt, response: IWatchResponse): void {
    const compactedAt = Number(response.compact_revision);
    if (compactedAt > 0) {
      this.#reset('compacted', `revision ${this.#next} is gone, compacted at ${compactedAt}`);
      return;
    }
    const reason = response.cancel_reason || 'no reason given';
    this.#onBreak(
      attempt,
      new MeshError('unavailable', `etcd watch: canceled: ${reason}`, { origin: 'upstream' }),
    );
  }

  #onEvents(attempt: Attempt, response: IWatchResponse): void {
    if (response.fragment || attempt.fragments.length > 0) attempt.fragments.push(...response.events);
    if (response.fragment) return;
    const events = attempt.fragments.length > 0 ? attempt.fragments : response.events;
    attempt.fragments = [];
    const isProgress = events.length === 0;
    const fresh = events.filter((event) => Number(event.kv.mod_revision) >= this.#next);
    const last = isProgress ? Number(response.header.revision) : Number(fresh.at(-1)?.kv.mod_revision ?? 0);
    if (last < this.#next) return;
    this.#next = last + 1;
    if (fresh.length > 0) this.#options.watcher.onEvents(fresh.map((event) => this.#eventOf(event)));
    if (!this.#isClosed) this.#options.watcher.onProgress?.(last);
  }

  #eventOf(event: IEvent): StoreEvent {
    const key = this.#options.keyOf(event.kv.key);
    const revision = Number(event.kv.mod_revision);
    return event.type === 'Delete'
      ? { kind: 'delete', key, revision }
      : { kind: 'put', key, revision, value: event.kv.value };
  }

  #onBreak(attempt: Attempt, reason: unknown): void {
    if (attempt.isOver) return;
    this.#endAttempt();
    if (this.#isClosed) return;
    this.#retry = this.#options.clock.after(this.#backoff.nextMs(), () => this.#connect());
    this.#options.watcher.onDisconnected?.(reason);
  }

  #reset(code: 'compacted' | 'conflict', message: string): void {
    this.close();
    this.#options.watcher.onReset(new MeshError(code, message, { origin: 'upstream' }));
  }

  #endAttempt(): void {
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.isOver) return;
    attempt.isOver = true;
    attempt.timer?.cancel();
    attempt.stream?.cancel();
  }
}
