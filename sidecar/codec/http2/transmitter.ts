// hot: everything that leaves.
/**
 * Writes what a loop turn produced for one connection: control frames, then heads (encoded now, because HPACK
 * is ordered), then DATA from the ready streams in turn. Almost always that is one buffer and one write.
 *
 *   ready: [ … done | stream · stream · stream ]      a stream with more to send goes to the end
 *                     ▲ readyAt
 */
import type { Conn, Flushable, Flusher } from '../../net/conn.ts';
import { ConnectionFault, faultCode } from './fault.ts';
import type { FloodGuard } from './flood-guard.ts';
import { beginHeaders, endHeaders, writeDataHeader } from './frame.ts';
import type { HpackEncoder } from './hpack/encoder.ts';
import { limits } from './limits.ts';
import { writeTrailers } from './message-writer.ts';
import { OutBuffer } from './out-buffer.ts';
import type { HeadWriter, Http2Stream } from './stream.ts';
import { canSend } from './stream-state.ts';

export interface TransmitterInit {
  readonly conn: Conn;
  readonly flusher: Flusher;
  /** Shared by all connections of the codec: a flush uses it alone. */
  readonly out: OutBuffer;
  readonly encoder: HpackEncoder;
  readonly guard: FloodGuard;
  readonly isLink: boolean;
  /** Those that are open. */
  readonly streams: { readonly size: number };
}

/** A WINDOW_UPDATE and a RST_STREAM. */
const bytesPerStream = 26;

/** The largest window, RFC 9113 §6.9.1. */
const maxWindow = 0x7fff_ffff;

export class Transmitter implements Flushable, HeadWriter {
  flushScheduled = false;
  readonly out: OutBuffer;
  readonly encoder: HpackEncoder;
  /** Control frames of this turn. */
  readonly control = new OutBuffer(256);
  queuedBytes = 0;
  /** The peer has sent its FIN, so no window will grow any more. */
  peerEnded = false;
  readonly #conn: Conn;
  readonly #flusher: Flusher;
  readonly #guard: FloodGuard;
  readonly #isLink: boolean;
  readonly #streams: { readonly size: number };
  readonly #mostControlBytes: number;
  #heads: Http2Stream[] = [];
  #headsSpare: Http2Stream[] = [];
  readonly #ready: Http2Stream[] = [];
  #readyAt = 0;
  /** Streams that wait for the connection's window. */
  #starved: Http2Stream[] = [];
  #deliveries: Http2Stream[] = [];
  /** Streams whose queue has room again. */
  readonly #roomy: Http2Stream[] = [];
  #window = 65_535;
  /** This write has waited for its turn. */
  #hasGathered = false;
  #isClosed = false;
  #mayFinish = false;

  constructor(init: TransmitterInit) {
    this.#conn = init.conn;
    this.#flusher = init.flusher;
    this.out = init.out;
    this.encoder = init.encoder;
    this.#guard = init.guard;
    this.#isLink = init.isLink;
    this.#streams = init.streams;
    // All streams may end in one turn, each after a window update; that is no answer to the peer, and must not fail.
    this.#mostControlBytes =
      limits.controlBytes + bytesPerStream * (init.isLink ? limits.linkStreams : limits.plainStreams);
  }

  schedule(): void {
    if (!this.flushScheduled) this.#flusher.schedule(this);
  }

  /** Where a control frame is to be written now; it leaves at the end of the turn. */
  get controlOut(): OutBuffer {
    if (this.control.pending > this.#mostControlBytes) {
      throw new ConnectionFault(faultCode.enhanceYourCalm, 'peer does not read our answers');
    }
    this.schedule();
    return this.control;
  }

  queueHead(stream: Http2Stream): void {
    this.#heads.push(stream);
    this.schedule();
  }

  queueData(stream: Http2Stream): void {
    if (stream.isReady) return;
    stream.isReady = true;
    this.#ready.push(stream);
    this.schedule();
  }

  queueDelivery(stream: Http2Stream): void {
    this.#deliveries.push(stream);
    this.schedule();
  }

  /** The peer lets us send more on the connection; false where its sum is too large. */
  addWindow(increment: number): boolean {
    this.#window += increment;
    if (this.#window > maxWindow) return false;
    if (this.#window > 0 && this.#starved.length > 0) {
      const starved = this.#starved;
      this.#starved = [];
      for (let i = 0; i < starved.length; i++) {
        const stream = starved[i] as Http2Stream;
        stream.isReady = false;
        this.queueData(stream);
      }
    }
    return true;
  }

  /** The same for one stream, by an update or by new settings. */
  addStreamWindow(stream: Http2Stream, increment: number): boolean {
    stream.sendWindow += increment;
    if (stream.sendWindow > maxWindow) return false;
    if (stream.sendWindow > 0 && stream.queue.bytes > 0) this.queueData(stream);
    return true;
  }

  /** Whether a stream has had DATA waiting for too long, `seconds` after it was last asked. */
  isStuck(stream: Http2Stream, seconds: number): boolean {
    if (stream.queue.bytes === 0) return false;
    stream.stuckSeconds += seconds;
    const isHopeless = this.peerEnded && (stream.sendWindow <= 0 || this.#window <= 0);
    return stream.stuckSeconds * 1000 >= (isHopeless ? limits.endedPeerMs : limits.noProgressMs);
  }

  /** Nothing more is written. */
  close(): void {
    this.#isClosed = true;
    this.#heads.length = 0;
    this.#ready.length = 0;
    this.#readyAt = 0;
    this.#starved.length = 0;
    this.#roomy.length = 0;
  }

  /** Closes the connection once all that is scheduled now has been written. */
  finish(): void {
    this.#mayFinish = true;
    this.schedule();
  }

  flush(): void {
    if (this.#deliveries.length > 0) this.#deliver();
    if (this.#isClosed) return;
    if (this.#mayGather()) {
      this.#hasGathered = true;
      this.#flusher.postpone(this);
      return;
    }
    this.#hasGathered = false;
    const { out, control } = this;
    if (control.pending > 0) {
      out.append(control.bytes, control.start, control.pos);
      control.clear();
    }
    if (this.#heads.length > 0) this.#writeHeads();
    if (this.#readyAt < this.#ready.length) this.#writeReady();
    const bytes = out.take();
    if (bytes !== undefined) this.#conn.write(bytes);
    if (this.#roomy.length > 0) this.#tellRoomy();
    if (this.#mayFinish && !this.#isClosed) {
      this.#isClosed = true;
      this.#conn.close();
    }
  }

  endBlock(offset: number, streamId: number, endStream: boolean): void {
    endHeaders(this.out, offset, streamId, endStream);
  }

  /**
   * A busy link waits one turn for more heads to go with those there are: its write, encryption and wake-up cost more
   * than a turn of the loop. Not for long answers, nor where most of what is in flight is here already.
   */
  #mayGather(): boolean {
    const heads = this.#heads.length;
    if (!this.#isLink || this.#hasGathered || heads === 0) return false;
    const live = this.#streams.size;
    return live >= limits.gatherFromStreams && heads * 2 < live;
  }

  /** Paused readers that were resumed get what was held for them. */
  #deliver(): void {
    const streams = this.#deliveries;
    this.#deliveries = [];
    for (let i = 0; i < streams.length; i++) (streams[i] as Http2Stream).deliverHeld();
  }

  /** As many as the socket has room for: thousands in one turn, each with a token in it, would be over its bound. */
  #writeHeads(): void {
    const heads = this.#heads;
    const room = limits.unsentBytes - this.#conn.unsentBytes;
    this.#heads = this.#headsSpare;
    let at = 0;
    while (at < heads.length && (this.out.pending < room || !this.#mustWait())) {
      const stream = heads[at++] as Http2Stream;
      if (stream.state !== 'closed') stream.writeHead(this);
    }
    // What was queued meanwhile comes after them.
    if (at < heads.length) this.#heads = heads.slice(at).concat(this.#heads);
    heads.length = 0;
    this.#headsSpare = heads;
  }

  #writeReady(): void {
    const ready = this.#ready;
    while (this.#readyAt < ready.length) {
      if (this.#conn.unsentBytes + this.out.pending >= limits.unsentBytes && this.#mustWait()) break;
      const stream = ready[this.#readyAt++] as Http2Stream;
      stream.isReady = false;
      // Its end may have left with the head.
      if (stream.headWritten && canSend(stream.state)) this.#writeTurn(stream);
    }
    if (this.#readyAt >= ready.length) {
      ready.length = 0;
      this.#readyAt = 0;
    } else if (this.#readyAt > 1024) {
      ready.splice(0, this.#readyAt);
      this.#readyAt = 0;
    }
  }

  /**
   * Whether the rest goes later: once the connection calls `onWritable`, or at once, where what was pending has left by
   * being written. A connection whose own mark is higher than ours takes more, for it would not call.
   */
  #mustWait(): boolean {
    const bytes = this.out.take();
    if (bytes !== undefined) this.#conn.write(bytes);
    if (this.#conn.isFull) return true;
    if (this.#conn.unsentBytes >= limits.unsentBytes) return false;
    this.schedule();
    return true;
  }

  /**
   * One stream's turn: DATA, or its trailers. On links several frames in a row, because the other end writes them on
   * together.
   */
  #writeTurn(stream: Http2Stream): void {
    const { queue } = stream;
    if (queue.bytes === 0) {
      if (stream.endQueued) this.#writeEnd(stream);
      return;
    }
    const turnBytes = this.#isLink ? limits.linkTurnBytes : limits.turnBytes;
    const most = Math.min(turnBytes, stream.sendWindow, this.#window);
    if (most <= 0) {
      if (this.#window <= 0) {
        stream.isReady = true;
        this.#starved.push(stream);
      }
      return;
    }
    for (let left = Math.min(most, queue.bytes); left > 0; ) {
      // No peer's largest frame is smaller, RFC 9113 §4.2.
      const size = Math.min(left, limits.frameBytes);
      this.#writeData(stream, size);
      left -= size;
    }
    stream.stuckSeconds = 0;
    if (canSend(stream.state) && (queue.bytes > 0 || stream.endQueued)) this.queueData(stream);
    if (stream.isWaiting && queue.bytes <= limits.streamQueueLowBytes) this.#roomy.push(stream);
  }

  #writeData(stream: Http2Stream, size: number): void {
    const isLast = stream.endQueued && stream.trailers === undefined && size === stream.queue.bytes;
    stream.sendWindow -= size;
    this.#window -= size;
    this.queuedBytes -= size;
    this.#guard.onDataSent();
    writeDataHeader(this.out, stream.id, size, isLast);
    this.#writeChunks(stream, size);
    if (isLast) stream.onSentEnd(this.out);
  }

  #writeChunks(stream: Http2Stream, size: number): void {
    const { out } = this;
    for (let left = size; left > 0; ) {
      const chunk = stream.queue.first as Buffer;
      const part = Math.min(left, chunk.length);
      if (part <= limits.copiedChunkBytes) out.append(chunk, 0, part);
      else {
        const head = out.take();
        if (head !== undefined) this.#conn.write(head);
        this.#conn.write(part === chunk.length ? chunk : chunk.subarray(0, part));
      }
      stream.queue.consume(part);
      left -= part;
    }
  }

  #writeEnd(stream: Http2Stream): void {
    if (stream.trailers === undefined) writeDataHeader(this.out, stream.id, 0, true);
    else {
      const offset = beginHeaders(this.out);
      writeTrailers(this.out, this.encoder, stream.trailers, this.#isLink);
      this.endBlock(offset, stream.id, true);
    }
    stream.onSentEnd(this.out);
  }

  #tellRoomy(): void {
    const streams = this.#roomy.splice(0);
    for (let i = 0; i < streams.length; i++) (streams[i] as Http2Stream).onRoom();
  }
}
