// hot: every byte of connections that ride on a link.
/**
 * A CONNECT stream (RFC 9113 §8.5) as a byte connection: DATA are its bytes, END_STREAM is FIN, RST_STREAM is RST.
 * The caller's end is a `ClientStreamConn`, the receiver's a `ServerStreamConn`; whoever holds one sees a `Conn`.
 */
import { MeshError } from '../../kit/errors.ts';
import type { Conn, ConnHandler, Peer } from '../net/conn.ts';
import type { ClientStream, RequestReceiver, ResponseHead, ResponseReceiver, ServerStream } from './codec.ts';
import type { Field } from './field.ts';

/** `finishing`: our end was sent. `lingering`: `close` was called, what still comes is dropped. */
type State = 'open' | 'finishing' | 'lingering' | 'closed';

/** What a peer may still send after we closed. */
const lingerBytes = 64 * 1024;

abstract class StreamConn implements Conn {
  readonly peer: Peer;
  bytesIn = 0;
  bytesOut = 0;
  /** The stream's queue and window are the session's; `isFull` is all that is known of them here. */
  readonly unsentBytes = 0;
  #handler: ConnHandler | undefined;
  #state: State = 'open';
  #isFull = false;
  #peerEnded = false;
  /** Whether the handler knows that. */
  #isEndTold = false;
  #error: MeshError | undefined;
  #leftBytes = lingerBytes;

  constructor(peer: Peer) {
    this.peer = peer;
  }

  protected abstract send(bytes: Buffer): boolean;
  protected abstract sendEnd(): void;
  /** Gives the stream up. */
  protected abstract cut(error: MeshError): void;
  abstract pause(): void;
  abstract resume(): void;

  get isFull(): boolean {
    return this.#isFull;
  }

  protected get isClosed(): boolean {
    return this.#state === 'closed';
  }

  setHandler(handler: ConnHandler): void {
    const first = this.#handler === undefined;
    this.#handler = handler;
    if (!first) return;
    if (this.#state === 'closed') process.nextTick(reportClosed, handler, this.#error);
    else {
      // The peer's end may have come before anybody listened.
      if (this.#peerEnded) process.nextTick(reportEnd, this);
      this.resume();
    }
  }

  writeText(text: string): void {
    this.write(Buffer.from(text, 'latin1'));
  }

  write(bytes: Buffer): void {
    if (this.#state !== 'open' || bytes.length === 0) return;
    this.bytesOut += bytes.length;
    if (!this.send(bytes)) this.#isFull = true;
  }

  finish(): void {
    if (this.#state !== 'open') return;
    this.#state = 'finishing';
    this.sendEnd();
    if (this.#isEndTold) this.#close(undefined);
  }

  close(): void {
    this.finish();
    if (this.#state !== 'finishing') return;
    this.#state = 'lingering';
    this.resume();
  }

  destroy(error?: MeshError): void {
    this.reset(error);
  }

  reset(error?: MeshError): void {
    if (this.#state === 'closed') return;
    this.cut(error ?? new MeshError('stream_reset', 'connection given up', { origin: 'local' }));
    this.#close(error);
  }

  // What the stream's two receivers hear, under the names of both.

  protected received(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.#state !== 'lingering') this.#handler?.onData(chunk);
    else {
      this.#leftBytes -= chunk.length;
      if (this.#leftBytes < 0) this.reset();
    }
  }

  protected ended(): void {
    if (this.#peerEnded || this.#state === 'closed') return;
    this.#peerEnded = true;
    if (this.#handler !== undefined) this.tellEnd();
  }

  /** That the peer has ended. */
  tellEnd(): void {
    if (this.#isEndTold || this.#state === 'closed') return;
    this.#isEndTold = true;
    const hasFinished = this.#state !== 'open';
    if (this.#state !== 'lingering') this.#handler?.onEnd();
    if (hasFinished) this.#close(undefined);
  }

  protected drained(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#handler?.onWritable();
  }

  protected broke(error: MeshError): void {
    this.#close(error);
  }

  #close(error: MeshError | undefined): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#error = error;
    this.#handler?.onClosed(error);
  }
}

/** The receiver's end. Until `accept` the caller waits, and may still be refused with a status. */
export class ServerStreamConn extends StreamConn implements RequestReceiver {
  readonly #stream: ServerStream;
  readonly #refuse: (stream: ServerStream, error: MeshError) => void;
  #isAccepted = false;

  /** `refuse` answers a caller that was not accepted. */
  constructor(stream: ServerStream, peer: Peer, refuse: (stream: ServerStream, error: MeshError) => void) {
    super(peer);
    this.#stream = stream;
    this.#refuse = refuse;
  }

  /** Tells the caller that its bytes flow from now on. */
  accept(): void {
    if (this.#isAccepted || this.isClosed) return;
    this.#isAccepted = true;
    this.#stream.sendResponse({ status: 200, fields: [], contentLength: -1 }, false);
  }

  pause(): void {
    this.#stream.pauseRequest();
  }

  resume(): void {
    this.#stream.resumeRequest();
  }

  onRequestData(chunk: Buffer): void {
    this.received(chunk);
  }

  onRequestEnd(): void {
    this.ended();
  }

  onRequestAborted(error: MeshError): void {
    this.broke(error);
  }

  onResponseWritable(): void {
    this.drained();
  }

  protected override send(bytes: Buffer): boolean {
    return this.#stream.sendData(bytes);
  }

  protected override sendEnd(): void {
    this.accept();
    this.#stream.sendEnd(undefined);
  }

  protected override cut(error: MeshError): void {
    if (this.#isAccepted) this.#stream.reset(error);
    else this.#refuse(this.#stream, error);
  }
}

/** Hears once whether the other end took the connection. */
export interface ConnectResult {
  onConnected(conn: ClientStreamConn): void;
  onRefused(error: MeshError): void;
}

/** The caller's end; `start` gives it its stream. */
export class ClientStreamConn extends StreamConn implements ResponseReceiver {
  #stream: ClientStream | undefined;
  #result: ConnectResult | undefined;

  constructor(peer: Peer, result: ConnectResult) {
    super(peer);
    this.#result = result;
  }

  /** The CONNECT request was sent on `stream`. */
  start(stream: ClientStream): void {
    if (this.isClosed) return;
    this.#stream = stream;
  }

  pause(): void {
    this.#stream?.pauseResponse();
  }

  resume(): void {
    this.#stream?.resumeResponse();
  }

  onInformational(): void {}

  onResponse(head: ResponseHead, end: boolean): void {
    const result = this.#result;
    this.#result = undefined;
    if (head.status >= 200 && head.status <= 299) {
      // Whoever asked takes it over a moment later.
      this.pause();
      if (end) this.ended();
      result?.onConnected(this);
      return;
    }
    const error = refusalOf(head.status);
    this.reset(error);
    result?.onRefused(error);
  }

  onResponseData(chunk: Buffer): void {
    this.received(chunk);
  }

  onResponseEnd(_trailers: readonly Field[] | undefined): void {
    this.ended();
  }

  onResponseAborted(error: MeshError): void {
    const result = this.#result;
    this.#result = undefined;
    this.broke(error);
    result?.onRefused(error);
  }

  onRequestWritable(): void {
    this.drained();
  }

  protected override send(bytes: Buffer): boolean {
    return this.#stream?.sendData(bytes) ?? true;
  }

  protected override sendEnd(): void {
    this.#stream?.sendEnd(undefined);
  }

  protected override cut(error: MeshError): void {
    this.#result = undefined;
    this.#stream?.cancel(error);
  }
}

function refusalOf(status: number): MeshError {
  if (status === 403) return new MeshError('denied', 'the receiver denies it', { origin: 'upstream' });
  if (status === 503)
    return new MeshError('connect_failed', 'the receiver cannot reach the application', {
      origin: 'upstream',
      // No byte was sent: the caller waits for the 200.
      retry: 'always',
    });
  return new MeshError('connect_failed', `the receiver answers CONNECT with ${status}`, {
    origin: 'upstream',
  });
}

function reportClosed(handler: ConnHandler, error: MeshError | undefined): void {
  handler.onClosed(error);
}

function reportEnd(conn: StreamConn): void {
  conn.tellEnd();
}
