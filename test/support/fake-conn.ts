/** A `Conn` in memory: the test reads what was written and says what arrives. */
import type { MeshError } from '../../kit/errors.ts';
import type { Conn, ConnHandler, Flushable, Flusher, Peer } from '../../sidecar/net/conn.ts';

export class FakeConn implements Conn {
  readonly peer: Peer = { address: '192.0.2.1', port: 1, tls: undefined };
  bytesIn = 0;
  bytesOut = 0;
  /** Set by a test that plays a slow socket. */
  unsentBytes = 0;
  readonly highMarkBytes = 128 * 1024;
  state: 'open' | 'finished' | 'closed' | 'destroyed' = 'open';
  /** It was destroyed by a reset. */
  wasReset = false;
  isPaused = false;
  error: MeshError | undefined;
  #written: Buffer[] = [];
  #handler: ConnHandler | undefined;

  get isFull(): boolean {
    return this.unsentBytes >= this.highMarkBytes;
  }

  setHandler(handler: ConnHandler): void {
    this.#handler = handler;
  }

  writeText(text: string): void {
    this.write(Buffer.from(text, 'latin1'));
  }

  write(bytes: Buffer): void {
    if (this.state !== 'open') return;
    this.bytesOut += bytes.length;
    this.#written.push(bytes);
  }

  finish(): void {
    if (this.state === 'open') this.state = 'finished';
  }

  close(): void {
    if (this.state === 'open' || this.state === 'finished') this.state = 'closed';
  }

  destroy(error?: MeshError): void {
    if (this.state === 'destroyed') return;
    this.state = 'destroyed';
    this.error = error;
    this.#handler?.onClosed(error);
  }

  reset(error?: MeshError): void {
    if (this.state !== 'destroyed') this.wasReset = true;
    this.destroy(error);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  /** What was written since the last call. */
  takeWritten(): Buffer {
    const bytes = Buffer.concat(this.#written);
    this.#written = [];
    return bytes;
  }

  /** Bytes arrive from the peer. */
  receive(bytes: Buffer): void {
    this.bytesIn += bytes.length;
    if (this.state === 'open' || this.state === 'finished') this.#handler?.onData(bytes);
  }

  receiveEnd(): void {
    this.#handler?.onEnd();
  }

  /** The socket took everything. */
  drained(): void {
    this.unsentBytes = 0;
    this.#handler?.onWritable();
  }

  /** The connection is gone. */
  lose(error?: MeshError): void {
    this.state = 'destroyed';
    this.#handler?.onClosed(error);
  }
}

/** A flusher whose turn the test ends. */
export class ManualFlusher implements Flusher {
  #queue: Flushable[] = [];
  #postponed: Flushable[] = [];

  schedule(flushable: Flushable): void {
    if (flushable.flushScheduled) return;
    flushable.flushScheduled = true;
    this.#queue.push(flushable);
  }

  postpone(flushable: Flushable): void {
    if (flushable.flushScheduled) return;
    flushable.flushScheduled = true;
    this.#postponed.push(flushable);
  }

  /** Ends loop turns until nothing is left to do. */
  turn(): void {
    do this.oneTurn();
    while (this.#queue.length + this.#postponed.length > 0);
  }

  /** Ends the loop turn: everything scheduled is flushed, what that schedules as well. */
  oneTurn(): void {
    this.#queue.push(...this.#postponed.splice(0));
    const queue = this.#queue;
    for (let at = 0; at < queue.length; at++) {
      const flushable = queue[at] as Flushable;
      flushable.flushScheduled = false;
      flushable.flush();
      // Something that schedules itself for ever is a bug, not a slow test.
      if (at > 100_000) throw new Error('a flushable never comes to rest');
    }
    this.#queue = [];
  }
}
