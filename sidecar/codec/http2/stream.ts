// hot: one per request.
/**
 * One stream as both sides see it: what waits to be sent, what waits for a paused reader, and its state.
 * `server-stream.ts` and `client-stream.ts` add who speaks first and who listens.
 */
import type { MeshError } from '../../../kit/errors.ts';
import type { Field } from '../field.ts';
import { ChunkQueue } from './chunk-queue.ts';
import { type FaultCode, faultCode } from './fault.ts';
import type { HpackEncoder } from './hpack/encoder.ts';
import { limits } from './limits.ts';
import type { OutBuffer } from './out-buffer.ts';
import { advance, canReceive, canSend, type StreamEvent, type StreamState } from './stream-state.ts';
import { ReceiveWindow, type WindowBudget } from './window.ts';

/** What a stream needs of its session. */
export interface StreamHost {
  readonly isLink: boolean;
  readonly windowBudget: WindowBudget;
  /** What the peer may send on a stream at first. */
  readonly firstWindow: number;
  /** Has the head written at the end of the turn. */
  queueHead(stream: Http2Stream): void;
  /** Has DATA, trailers or the end written when it is the stream's turn. */
  queueData(stream: Http2Stream): void;
  /** `bytes` more (or fewer) wait in this session's streams; returns the sum. */
  addQueued(bytes: number): number;
  /** `bytes` more (or fewer) of bodies wait for their readers. */
  addHeld(bytes: number): void;
  /** Has `deliverHeld` called at the end of the turn. */
  queueDelivery(stream: Http2Stream): void;
  grantWindow(stream: Http2Stream, increment: number): void;
  /** Tells the peer, and forgets the stream. */
  resetStream(stream: Http2Stream, code: number): void;
  /** The same, and the peer was not to blame. */
  abandonStream(stream: Http2Stream, code: number): void;
  /** We reset it in our own words; what the peer still sends is dropped. */
  forgetStream(stream: Http2Stream): void;
  /** Both sides have ended. */
  onStreamClosed(stream: Http2Stream): void;
}

/** Where a stream writes its head. */
export interface HeadWriter {
  readonly out: OutBuffer;
  readonly encoder: HpackEncoder;
  /** Ends the block that began at `offset`. */
  endBlock(offset: number, streamId: number, endStream: boolean): void;
}

/** A chunk below this that has to wait is copied at once. */
const copiedBelow = 4096;

export abstract class Http2Stream {
  id: number;
  state: StreamState = 'idle';
  protected readonly host: StreamHost;

  /** When it began, by the guard's count. */
  openedTick = 0;
  /** Decoded size of the head that it keeps while it lives. */
  headBytes = 0;
  sendWindow: number;
  readonly queue = new ChunkQueue();
  /** `sendEnd` was called. */
  endQueued = false;
  trailers: readonly Field[] | undefined = undefined;
  /** The head left; before, nothing else may. */
  headWritten = false;
  /** It stands in the sender's ring. */
  isReady = false;
  /** `sendData` said wait. */
  isWaiting = false;
  /** Bytes of an opaque connection: its reader may stand still for as long as the connection may be idle. */
  mayStall = false;
  /** Seconds that queued DATA did not move. */
  stuckSeconds = 0;

  /** The peer's final head was there, so DATA may follow. */
  isBodyDue = true;
  /** What `content-length` still promises, or -1. */
  bodyLeft = -1;
  #window: ReceiveWindow | undefined = undefined;
  #isPaused = false;
  #held: ChunkQueue | undefined = undefined;
  /** The peer ended while chunks were held. */
  #hasHeldEnd = false;
  #heldTrailers: readonly Field[] | undefined = undefined;

  constructor(host: StreamHost, id: number, sendWindow: number) {
    this.host = host;
    this.id = id;
    this.sendWindow = sendWindow;
  }

  /** Its sender writes a frame for each message, however small. */
  get carriesMessages(): boolean {
    return false;
  }

  /** Writes what is due of heads; called when it is their turn. */
  abstract writeHead(writer: HeadWriter): void;
  protected abstract deliverData(chunk: Buffer): void;
  protected abstract deliverEnd(trailers: readonly Field[] | undefined): void;
  protected abstract deliverRoom(): void;
  /** The exchange is lost. */
  abstract deliverAborted(error: MeshError): void;
  /** The connection died under it. */
  abstract onLost(error: MeshError): void;
  /** The peer reset it. */
  abstract onPeerReset(code: number): void;
  /** Our end left while the peer goes on sending. */
  protected abstract onSentEndFirst(out: OutBuffer): void;

  /** Moves on; an event that is not allowed leaves the state, for sessions check before. */
  move(event: StreamEvent): void {
    const next = advance(this.state, event);
    if (next === undefined) return;
    this.state = next;
    if (next === 'closed') this.#release();
  }

  sendData(chunk: Buffer): boolean {
    if (this.endQueued || !canSend(this.state) || chunk.length === 0) return true;
    if (this.queue.bytes === 0) this.stuckSeconds = 0;
    // What the peer's window does not let out now may stay for long.
    if (chunk.length >= copiedBelow || this.sendWindow > this.queue.bytes) this.queue.push(chunk);
    else this.queue.pushCopy(chunk);
    const total = this.host.addQueued(chunk.length);
    this.host.queueData(this);
    // Behind a window that is shut little need wait: it will be there before the peer's next word.
    const isScarce = this.sendWindow <= 0 || total > limits.connectionQueueBytes;
    this.isWaiting = this.queue.bytes >= (isScarce ? limits.streamQueueLowBytes : limits.streamQueueBytes);
    return !this.isWaiting;
  }

  sendEnd(trailers: readonly Field[] | undefined): void {
    if (this.endQueued || !canSend(this.state)) return;
    this.endQueued = true;
    if (trailers !== undefined && trailers.length > 0) this.trailers = trailers;
    this.host.queueData(this);
  }

  /** The sender made room in the queue. */
  onRoom(): void {
    if (!this.isWaiting || this.state === 'closed') return;
    this.isWaiting = false;
    this.deliverRoom();
  }

  /** Our end of the stream was written to `out`. */
  onSentEnd(out: OutBuffer): void {
    this.move('send_end');
    if (this.state === 'closed') this.host.onStreamClosed(this);
    else this.onSentEndFirst(out);
  }

  pauseReading(): void {
    this.#isPaused = true;
    this.#window?.shrink(this.#held?.bytes ?? 0);
  }

  resumeReading(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    // Not from within the caller's call: at the end of the turn.
    if (this.#held !== undefined || this.#hasHeldEnd) this.host.queueDelivery(this);
    else this.grantCredit();
  }

  /** Counts a DATA frame; false where it overran the window. */
  countReceived(length: number): boolean {
    this.#window ??= newWindow(this.host);
    return this.#window.receive(length);
  }

  /** Passes a part of the body on, or holds it; false where it is more than was declared. */
  receivePart(chunk: Buffer): boolean {
    if (this.bodyLeft !== -1) {
      if (chunk.length > this.bodyLeft) return false;
      this.bodyLeft -= chunk.length;
    }
    if (!this.#isPaused && this.#held === undefined) this.deliverData(chunk);
    else {
      this.#held ??= new ChunkQueue();
      if (chunk.length >= copiedBelow) this.#held.push(chunk);
      else this.#held.pushCopy(chunk);
      this.host.addHeld(chunk.length);
    }
    return true;
  }

  /** The peer ended; false where the body is shorter than was declared. */
  receiveEnd(trailers: readonly Field[] | undefined): boolean {
    if (this.bodyLeft > 0) return false;
    this.move('recv_end');
    if (this.#held === undefined) this.deliverEnd(trailers);
    else {
      this.#hasHeldEnd = true;
      this.#heldTrailers = trailers;
    }
    return true;
  }

  /** Passes on what was held, until the reader pauses again. */
  deliverHeld(): void {
    const held = this.#held;
    if (held !== undefined) {
      // Who takes a chunk may give the stream up, and with it the others.
      for (let chunk = held.first; chunk !== undefined && this.#mayDeliver(held); chunk = held.first) {
        held.consume(chunk.length);
        this.host.addHeld(-chunk.length);
        this.deliverData(chunk);
      }
      // What ended already asks for no more credit, so nothing else would tell.
      if (this.state === 'closed') this.#window?.settle(held.bytes);
      if (held.first !== undefined) return;
      this.#held = undefined;
    }
    if (this.#hasHeldEnd && !this.#isPaused) {
      this.#hasHeldEnd = false;
      this.deliverEnd(this.#heldTrailers);
    } else this.grantCredit();
  }

  #mayDeliver(held: ChunkQueue): boolean {
    return !this.#isPaused && this.#held === held;
  }

  /** Lets the peer send on what the reader took. */
  grantCredit(): void {
    if (this.#isPaused || !canReceive(this.state) || this.#window === undefined) return;
    const increment = this.#window.grant(this.#held?.bytes ?? 0);
    if (increment > 0) this.host.grantWindow(this, increment);
  }

  /** Called once in a while: what waits shall cost little more than its bytes. */
  compact(): void {
    this.queue.compact();
    this.#held?.compact();
  }

  /** Resets the stream for our reasons; nothing is told to the receiver. */
  abandon(code: FaultCode): void {
    if (this.state === 'closed') return;
    this.host.abandonStream(this, code);
  }

  /** The peer broke this stream: reset, and the receiver hears of it. */
  fail(code: number, error: MeshError): void {
    if (this.state === 'closed') return;
    this.host.resetStream(this, code);
    this.deliverAborted(error);
  }

  #release(): void {
    if (this.queue.bytes > 0) {
      this.host.addQueued(-this.queue.bytes);
      this.queue.clear();
    }
    this.#window?.end(this.#held?.bytes ?? 0);
  }

  /** Drops what was held for a reader that is gone. */
  protected dropHeld(): void {
    const heldBytes = this.#held?.bytes ?? 0;
    if (heldBytes > 0) this.host.addHeld(-heldBytes);
    this.#held = undefined;
    this.#hasHeldEnd = false;
    if (this.state === 'closed') this.#window?.settle(0);
  }
}

/** A reader that stops with its window wide open must leave room for the connection's other streams. */
function newWindow({ isLink, windowBudget, firstWindow }: StreamHost): ReceiveWindow {
  const maxBytes = isLink ? limits.linkStreamWindowMax : limits.plainStreamWindowMax;
  return new ReceiveWindow(windowBudget, firstWindow, maxBytes);
}

/** The code that tells a peer why we gave up on a stream. */
export function resetCodeOf(error: MeshError): FaultCode {
  switch (error.code) {
    case 'stream_refused':
    case 'draining':
      return faultCode.refusedStream;
    case 'connect_failed':
    case 'connect_refused':
    case 'connect_timeout':
      return faultCode.connectError;
    default:
      return error.origin === 'downstream' ? faultCode.cancel : faultCode.internalError;
  }
}
