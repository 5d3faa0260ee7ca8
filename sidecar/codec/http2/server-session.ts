// hot: once per request.
/** A downstream connection that speaks HTTP/2. */
import { MeshError } from '../../../kit/errors.ts';
import type { RequestAcceptor, ServerConnection } from '../codec.ts';
import { breach, type ConnectionFault, faultCode } from './fault.ts';
import type { DecodeResult } from './hpack/decoder.ts';
import { limits } from './limits.ts';
import { pingKind } from './liveness.ts';
import type { BlockKind } from './message-reader.ts';
import { ServerHttp2Stream } from './server-stream.ts';
import type { SessionInit } from './services.ts';
import { Session } from './session.ts';
import type { Http2Stream } from './stream.ts';
import { canReceive } from './stream-state.ts';

/** `warned`: the first GOAWAY of a drain is out. `last`: the second is, no stream is taken up any more. */
type Drain = 'none' | 'warned' | 'last';

const highestStreamId = 0x7fff_ffff;

export class ServerSession extends Session implements ServerConnection {
  readonly #acceptor: RequestAcceptor;
  readonly #maxStreams: number;
  readonly #maxBytes: number;
  /** Of all streams. */
  #headBytes = 0;
  #lastStreamId = 0;
  #drain: Drain = 'none';
  /** How long the peer may still take to answer the warning. */
  #patienceMs: number = limits.pingTimeoutMs;

  constructor(init: Omit<SessionInit, 'side'>, acceptor: RequestAcceptor) {
    super({ ...init, side: 'server' });
    this.#acceptor = acceptor;
    this.#maxStreams = init.options.link ? limits.linkStreams : limits.plainStreams;
    this.#maxBytes = init.options.link ? limits.linkConnectionBytes : limits.plainConnectionBytes;
    this.start('server');
  }

  drain(patienceMs: number = limits.drainSecondGoawayMs): void {
    if (!this.isOpen) return;
    this.#patienceMs = Math.min(patienceMs, this.#patienceMs);
    if (this.#drain !== 'none') return;
    this.#drain = 'warned';
    this.sendGoaway(highestStreamId, faultCode.noError, 'draining');
    this.sendPing(pingKind.drain);
    this.liveness.hurry();
  }

  destroy(error: MeshError): void {
    this.conn.destroy(error);
  }

  override onIdle(): void {
    this.drain();
  }

  override onTick(seconds: number): void {
    super.onTick(seconds);
    if (this.#drain !== 'warned') return;
    this.#patienceMs -= seconds * 1000;
    if (this.#patienceMs <= 0) this.#finishDrain();
  }

  /** A peer that does not know what CONNECT_ERROR says on a link hears REFUSED_STREAM: nothing was done. */
  override resetStream(stream: Http2Stream, code: number): void {
    const isUnknown = code === faultCode.connectError && !this.peer.knowsConnectTimeouts;
    super.resetStream(stream, isUnknown ? faultCode.refusedStream : code);
  }

  protected override get lastPeerStreamId(): number {
    return this.#lastStreamId;
  }

  protected override blockKind(streamId: number): BlockKind {
    return this.streams.has(streamId) ? 'trailers' : 'request';
  }

  protected override isIdle(streamId: number): boolean {
    if ((streamId & 1) === 0) return true;
    // After our last word there may be streams that we did not take up; their frames are no breach (RFC 9113 §6.8).
    return streamId > this.#lastStreamId && this.#drain !== 'last';
  }

  protected override onBlock(streamId: number, endStream: boolean, result: DecodeResult): void {
    const stream = this.streams.get(streamId) as ServerHttp2Stream | undefined;
    if (stream !== undefined) this.#onTrailers(stream, endStream, result);
    else if (streamId > this.#lastStreamId) this.#onRequest(streamId, endStream, result);
    else {
      this.onStrayBlock(streamId);
      // RFC 9113 §5.1.1: trailers may cross our reset, but a request on a lower stream is a mistake.
      if (this.message.hasMethod) throw breach(`stream ${streamId} after ${this.#lastStreamId}`);
    }
  }

  #onRequest(streamId: number, endStream: boolean, result: DecodeResult): void {
    if ((streamId & 1) === 0) throw breach(`client opened stream ${streamId}`);
    // RFC 9113 §6.8: streams after our last word are ignored; the client knows.
    if (this.#drain === 'last') return;
    this.#lastStreamId = streamId;
    this.reader.onNewStream();
    if (streamId >= limits.streamsPerConnection) this.drain();
    if (this.streams.size >= this.#maxStreams || this.#headBytes + this.bodyBytes > this.#maxBytes) {
      this.guard.onReset();
      this.refuseStream(streamId, faultCode.refusedStream);
      return;
    }
    const head = result === 'ok' ? this.message.request(endStream) : undefined;
    if (head === undefined) {
      this.#refuseRequest(streamId, result);
      return;
    }
    const stream = new ServerHttp2Stream(this, streamId, this.peer.initialWindowSize, head);
    stream.openedTick = this.guard.tick;
    stream.headBytes = this.blockBytes;
    this.#headBytes += stream.headBytes;
    stream.move('headers');
    if (endStream) stream.move('recv_end');
    this.streams.add(stream);
    const receiver = this.#acceptor.onRequest(stream, head, endStream);
    if (stream.state !== 'closed') stream.receiver = receiver;
  }

  #refuseRequest(streamId: number, result: DecodeResult): void {
    this.guard.onReset();
    this.refuseStream(streamId, faultCode.protocolError);
    if (result === 'too_large') {
      const error = new MeshError('head_too_large', 'header block too large', { origin: 'downstream' });
      this.#acceptor.onRefused(431, error);
    } else {
      const error = new MeshError('malformed_message', this.message.problem, { origin: 'downstream' });
      this.#acceptor.onRefused(400, error);
    }
  }

  #onTrailers(stream: ServerHttp2Stream, endStream: boolean, result: DecodeResult): void {
    if (!canReceive(stream.state)) {
      this.failStream(stream, faultCode.streamClosed, 'HEADERS after the end');
      return;
    }
    const trailers = result === 'ok' ? this.message.trailers() : undefined;
    // RFC 9113 §8.5: a tunnel carries DATA alone.
    if (trailers === undefined || !endStream || stream.isTunnel) {
      const other = result === 'ok' ? 'HEADERS that end no body' : 'trailers too large';
      this.failStream(stream, faultCode.protocolError, this.message.problem || other);
      return;
    }
    this.endStream(stream, trailers);
  }

  protected override onPeerSettings(): void {}

  /** A client's GOAWAY says only that it will open nothing more. */
  protected override onGoaway(): void {}

  protected override onPong(kind: number): void {
    if (kind === pingKind.drain && this.#drain === 'warned') this.#finishDrain();
  }

  /** All requests that crossed the first GOAWAY have arrived. */
  #finishDrain(): void {
    this.#drain = 'last';
    this.sendGoaway(this.#lastStreamId, faultCode.noError, 'draining');
    if (this.streams.size === 0) this.transmitter.finish();
  }

  protected override onStreamGone(stream: Http2Stream): void {
    this.#headBytes -= stream.headBytes;
    if (this.#drain === 'last' && this.streams.size === 0) this.transmitter.finish();
  }

  protected override onFlowing(): void {}

  /** The client sends nothing more: whole requests are still answered, the others never will be whole. */
  protected override onPeerFin(): void {
    const error = new MeshError('connection_closed', 'connection closed by peer', { origin: 'downstream' });
    for (const stream of this.streams.values()) {
      if (canReceive(stream.state)) stream.fail(faultCode.cancel, error);
    }
    this.#drain = 'last';
    if (this.streams.size === 0) this.transmitter.finish();
  }

  protected override onFailed(fault: ConnectionFault): void {
    if (fault.faultCode === faultCode.enhanceYourCalm) this.#acceptor.onFlooded(fault);
  }

  protected override onDead(): void {
    this.#acceptor.onConnectionClosed();
  }
}
