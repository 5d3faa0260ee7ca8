// hot: every chunk that arrives.
/**
 * Reads frames at a pace: once a chunk has opened its share of new streams, the rest waits until other connections
 * had their turn. So a burst of requests (CVE-2023-44487) delays its own connection and no other.
 */
import { MeshError, messageOf } from '../../../kit/errors.ts';
import type { Conn, Flushable, Flusher } from '../../net/conn.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';

/** The session that reads: it is handed what waited as if it had just arrived. */
export interface PacedSession extends FrameSink {
  onData(chunk: Buffer): void;
  onEnd(): void;
}

export interface PacedReaderInit {
  readonly session: PacedSession;
  readonly side: 'server' | 'client';
  readonly conn: Conn;
  readonly flusher: Flusher;
  /** New streams after which the rest of a read waits. */
  readonly streamsPerRead: number;
}

export class PacedReader implements Flushable {
  flushScheduled = false;
  readonly #init: PacedReaderInit;
  readonly #reader: FrameReader;
  #opened = 0;
  /** What waits; little, because the connection is paused meanwhile. */
  #rest: Buffer | undefined = undefined;
  /** The peer's FIN came while something waited. */
  #hasEnded = false;

  constructor(init: PacedReaderInit) {
    this.#init = init;
    this.#reader = new FrameReader(init.session, init.side);
  }

  /** Throws the ConnectionFault of a frame that breaks the connection. */
  read(chunk: Buffer): void {
    if (this.#rest !== undefined) {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      return;
    }
    this.#opened = 0;
    const rest = this.#reader.read(chunk);
    if (rest === undefined) return;
    this.#rest = rest;
    this.#init.conn.pause();
    this.#init.flusher.postpone(this);
  }

  /** The peer opened a stream. */
  onNewStream(): void {
    if (++this.#opened >= this.#init.streamsPerRead) this.#reader.hold();
  }

  /** Whether a frame has been coming for too long, `seconds` after this was last asked. */
  isLate(seconds: number): boolean {
    return this.#reader.isLate(seconds);
  }

  /** The peer has sent FIN; true where it counts only after what waits. */
  endsLater(): boolean {
    this.#hasEnded = this.#rest !== undefined;
    return this.#hasEnded;
  }

  /** Drops all that follows. */
  stop(): void {
    this.#reader.stop();
    this.#rest = undefined;
  }

  flush(): void {
    const { conn, session } = this.#init;
    const rest = this.#rest;
    if (rest === undefined) return;
    this.#rest = undefined;
    conn.resume();
    try {
      session.onData(rest);
      if (this.#hasEnded && this.#rest === undefined) session.onEnd();
    } catch (thrown) {
      // As in a read of the connection: a bug of ours ends this connection and nothing else.
      conn.destroy(new MeshError('internal', messageOf(thrown), { origin: 'local', cause: thrown }));
    }
  }
}
