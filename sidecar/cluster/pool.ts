// hot: acquire and onAvailable run once per request.
/**
 * The connections to one endpoint, of either HTTP version: an HTTP/1.1 connection takes one request at a time,
 * an HTTP/2 connection (a link) many. Who needs one waits in line; connections are dialled as the line needs.
 *
 *   acquire ─▶ an available connection ─▶ waiter.onConnection
 *          └▶ line (bounded) ─▶ dial ─▶ first in line
 */
import { MeshError } from '../../kit/errors.ts';
import type { ClientConnection, ClientConnectionOwner } from '../codec/codec.ts';

/** Waits for a connection; exactly one of the two is called unless `forget` was. */
export interface ConnectionWaiter {
  /** False where it needs none any more: the connection stays free. */
  onConnection(connection: ClientConnection): boolean;
  /** `error.retry` is `always`: nothing was sent. */
  onConnectFailed(error: MeshError): void;
}

/** Opens one connection. `done` is called once, with the connection or why there is none. */
export type Connect = (
  owner: ClientConnectionOwner,
  done: (error: MeshError | undefined, connection: ClientConnection | undefined) => void,
) => void;

export interface PoolOptions {
  readonly connect: Connect;
  /** How many requests one connection will probably take at once: 1, or the link's stream limit. */
  readonly requestsPerConnection: number;
  readonly maxConnections: number;
  readonly maxWaiting: number;
  /** Whether there is a descriptor for one more; without one the line waits for the connections there are. */
  readonly mayDial?: () => boolean;
}

export class Pool {
  readonly #options: PoolOptions;
  /** Those that may take a request; the one used last is on top, so that the others can fall idle. */
  readonly #available: Entry[] = [];
  readonly #entries = new Set<Entry>();
  #waiting: ConnectionWaiter[] = [];
  /** Connections that are dialled for one waiter alone. */
  readonly #reserved = new Set<Entry>();
  #dialling = 0;
  /** Connected, and not yet able to take a request: an HTTP/2 peer speaks first. */
  #beginning = 0;
  #isClosed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Connections open now. */
  get connections(): number {
    return this.#entries.size;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Calls the waiter back, at once where a connection is at hand. */
  acquire(waiter: ConnectionWaiter): void {
    const available = this.#available;
    while (available.length > 0) {
      const entry = available[available.length - 1] as Entry;
      const connection = entry.connection as ClientConnection;
      if (connection.available > 0) {
        if (connection.available === 1) this.#unlist(entry);
        if (!waiter.onConnection(connection)) this.onAvailable(entry);
        return;
      }
      this.#unlist(entry);
    }
    this.#wait(waiter);
  }

  /**
   * Calls the waiter back with a connection that is dialled from now on, where there is room for one: where one died, the
   * others may have died with it, unheard of yet.
   */
  acquireFresh(waiter: ConnectionWaiter): void {
    if (this.#mayDial()) this.#dial({ waiter });
    else this.acquire(waiter);
  }

  /** The waiter no longer wants a connection. */
  forget(waiter: ConnectionWaiter): void {
    const at = this.#waiting.indexOf(waiter);
    if (at >= 0) this.#waiting.splice(at, 1);
    else for (const entry of this.#reserved) if (entry.waiter === waiter) this.#release(entry);
  }

  /**
   * Opens a connection that will take the place of those there are once it takes requests: in TLS 1.3 it stands before
   * the peer has looked at our certificate.
   */
  replace(): void {
    this.#dial({ replaced: [...this.#entries] });
  }

  /** Closes connections that nobody uses. */
  shrink(): void {
    for (const entry of [...this.#entries]) {
      if (entry.connection?.active === 0) entry.connection.drain();
    }
  }

  /** No new requests; connections close as theirs end. */
  drain(): void {
    this.#isClosed = true;
    for (const entry of this.#entries) entry.connection?.drain();
    this.#failWaiting(
      new MeshError('unavailable', 'endpoint was removed', { origin: 'local', retry: 'always' }),
    );
  }

  destroy(error: MeshError): void {
    this.#isClosed = true;
    for (const entry of [...this.#entries]) entry.connection?.destroy(error);
    this.#failWaiting(error);
  }

  onAvailable(entry: Entry): void {
    const connection = entry.connection;
    if (connection === undefined) return;
    if (!entry.wasAvailable && connection.available > 0) {
      entry.wasAvailable = true;
      this.#beginning--;
      if (entry.replaced !== undefined) this.#drainReplaced(entry.replaced);
      this.#release(entry)?.onConnection(connection);
    }
    while (this.#waiting.length > 0 && connection.available > 0) {
      (this.#waiting.shift() as ConnectionWaiter).onConnection(connection);
    }
    if (connection.available > 0 && !entry.isListed) {
      entry.isListed = true;
      this.#available.push(entry);
    }
    // It may take fewer at once than it was dialled for.
    if (entry.wasAvailable && this.#waiting.length > 0) this.#dialForWaiting();
  }

  onUnavailable(entry: Entry): void {
    if (entry.isListed) this.#unlist(entry);
  }

  onClosed(entry: Entry, error: MeshError | undefined): void {
    if (entry.isListed) this.#unlist(entry);
    this.#entries.delete(entry);
    // A connection that closed before it could take a request (a peer that refuses our certificate does that,
    // RFC 8446 §4.4.2) counts as a failed dial, or the line would dial for ever.
    if (entry.wasAvailable) this.#dialForWaiting();
    else {
      this.#beginning--;
      this.#failAfterDial(entry, error ?? closedAtOnce());
    }
  }

  #wait(waiter: ConnectionWaiter): void {
    if (this.#isClosed) {
      waiter.onConnectFailed(
        new MeshError('unavailable', 'endpoint was removed', { origin: 'local', retry: 'always' }),
      );
    } else if (this.#waiting.length >= this.#options.maxWaiting) {
      waiter.onConnectFailed(
        new MeshError('overloaded', `${this.#waiting.length} requests wait for a connection already`, {
          origin: 'local',
        }),
      );
    } else {
      this.#waiting.push(waiter);
      this.#dialForWaiting();
    }
  }

  #dialForWaiting(): void {
    const { requestsPerConnection } = this.#options;
    while (
      this.#waiting.length >
        (this.#dialling + this.#beginning - this.#reserved.size) * requestsPerConnection &&
      this.#mayDial()
    ) {
      this.#dial({});
    }
  }

  #mayDial(): boolean {
    const connections = this.#entries.size + this.#dialling;
    const { maxConnections, mayDial } = this.#options;
    return !this.#isClosed && connections < maxConnections && (connections === 0 || mayDial?.() !== false);
  }

  #dial(purpose: Purpose): void {
    this.#dialling++;
    const entry = new Entry(this, purpose);
    if (purpose.waiter !== undefined) this.#reserved.add(entry);
    this.#options.connect(entry, (error, connection) => {
      this.#dialling--;
      if (connection !== undefined) {
        this.#beginning++;
        entry.connection = connection;
        this.#entries.add(entry);
        if (this.#isClosed) connection.drain();
        else this.onAvailable(entry);
      } else {
        this.#failAfterDial(entry, error as MeshError);
      }
    });
  }

  /** A failed dial fails as many as it was meant for, a replacement none; those left get a dial of their own. */
  #failAfterDial(entry: Entry, error: MeshError): void {
    const { requestsPerConnection } = this.#options;
    const isForLine = entry.replaced === undefined && !entry.wasReserved;
    const failed = isForLine ? this.#waiting.splice(0, requestsPerConnection) : [];
    for (const waiter of failed) waiter.onConnectFailed(error);
    this.#release(entry)?.onConnectFailed(error);
    this.#dialForWaiting();
  }

  #drainReplaced(entries: readonly Entry[]): void {
    for (const entry of entries) if (this.#entries.has(entry)) entry.connection?.drain();
  }

  #failWaiting(error: MeshError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) waiter.onConnectFailed(error);
    for (const entry of [...this.#reserved]) this.#release(entry)?.onConnectFailed(error);
  }

  /** From now on the connection is anybody's; whose it was. */
  #release(entry: Entry): ConnectionWaiter | undefined {
    const { waiter } = entry;
    entry.waiter = undefined;
    this.#reserved.delete(entry);
    return waiter;
  }

  #unlist(entry: Entry): void {
    entry.isListed = false;
    const available = this.#available;
    if (available[available.length - 1] === entry) available.pop();
    else available.splice(available.indexOf(entry), 1);
  }
}

/** What a connection is dialled for, unless it is for those in line. */
interface Purpose {
  /** Those in whose place it comes. */
  readonly replaced?: readonly Entry[];
  readonly waiter?: ConnectionWaiter;
}

/** One connection of the pool, which it also listens for. */
class Entry implements ClientConnectionOwner {
  readonly #pool: Pool;
  readonly replaced: readonly Entry[] | undefined;
  /** Whom it is reserved for, until that one has it or wants it no more. */
  waiter: ConnectionWaiter | undefined;
  readonly wasReserved: boolean;
  connection: ClientConnection | undefined;
  isListed = false;
  wasAvailable = false;

  constructor(pool: Pool, { replaced, waiter }: Purpose) {
    this.#pool = pool;
    this.replaced = replaced;
    this.waiter = waiter;
    this.wasReserved = waiter !== undefined;
  }

  onAvailable(): void {
    this.#pool.onAvailable(this);
  }

  onUnavailable(): void {
    this.#pool.onUnavailable(this);
  }

  onClosed(_connection: ClientConnection, error: MeshError | undefined): void {
    this.#pool.onClosed(this, error);
  }
}

function closedAtOnce(): MeshError {
  return new MeshError('connection_closed', 'the connection was closed before it could be used', {
    origin: 'upstream',
    retry: 'always',
  });
}
