// hot: once per request.
/** An upstream connection that speaks HTTP/2: a link, or an application's. */
import { MeshError } from '../../../kit/errors.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../../net/timer-wheel.ts';
import type {
  ClientConnection,
  ClientConnectionOwner,
  ClientStream,
  RequestHead,
  ResponseReceiver,
} from '../codec.ts';
import { ClientHttp2Stream, type ClientStreamHost } from './client-stream.ts';
import { type ConnectionFault, faultCode, faultName, faultText } from './fault.ts';
import { clientPreface, readText, readU32 } from './frame.ts';
import type { DecodeResult } from './hpack/decoder.ts';
import { limits } from './limits.ts';
import type { BlockKind } from './message-reader.ts';
import type { SessionInit } from './services.ts';
import { Session } from './session.ts';
import type { Http2Stream } from './stream.ts';
import { canReceive } from './stream-state.ts';

/** `ending`: no new requests, those in flight go on. */
type Phase = 'serving' | 'ending' | 'dead';

export class ClientSession extends Session implements ClientConnection, ClientStreamHost, TimerOwner {
  readonly #owner: ClientConnectionOwner;
  readonly #ourMax: number;
  #phase: Phase = 'serving';
  #nextStreamId = 1;
  /** Streams whose head has not left. */
  readonly #unsent: ClientHttp2Stream[] = [];
  /** Requests for another protocol that wait for the peer's word that it knows them. */
  #awaitSettings: ClientHttp2Stream[] = [];
  hasAnswered = false;
  #wasClosed = false;
  /** Why we gave it up. */
  #failure: MeshError | undefined;
  readonly #timers: TimerWheel;
  readonly #beginMs: number;
  /** Runs until the peer's SETTINGS are there. */
  readonly #beginTimer = new WheelTimer(this);

  constructor(init: Omit<SessionInit, 'side'>, owner: ClientConnectionOwner) {
    super({ ...init, side: 'client' });
    this.#owner = owner;
    this.#ourMax = init.options.link ? limits.linkStreams : limits.plainStreams;
    this.#timers = init.options.timers;
    this.#beginMs = init.options.beginMs ?? limits.settingsTimeoutMs;
    this.#timers.arm(this.#beginTimer, this.#beginMs);
    this.conn.writeText(clientPreface);
    this.start('client');
  }

  /** A link's other end takes what we take; of anybody else its SETTINGS come before the first request. */
  get available(): number {
    if (this.#phase !== 'serving' || !this.isOpen || this.data.isStalled) return 0;
    if (!this.isLink && !this.hasPeerSettings) return 0;
    return Math.max(0, Math.min(this.peer.maxConcurrentStreams, this.#ourMax) - this.active);
  }

  get active(): number {
    return this.streams.size + this.#unsent.length;
  }

  request(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const stream = new ClientHttp2Stream(this, this.peer.initialWindowSize, head, receiver);
    if (end) stream.endQueued = true;
    stream.unsentAt = this.#unsent.push(stream) - 1;
    if (head.protocol !== undefined && !this.hasPeerSettings) this.#awaitSettings.push(stream);
    else this.queueHead(stream);
    return stream;
  }

  drain(): void {
    this.#stopServing();
    this.#finishIfDone();
  }

  destroy(error: MeshError): void {
    this.conn.destroy(error);
  }

  /** What has not begun is not idle: requests wait for it. */
  override onIdle(): void {
    if (this.hasPeerSettings) this.drain();
  }

  /** RFC 9113 §3.4: a server's SETTINGS wait for nothing, so this one does not serve. */
  onTimer(): void {
    if (!this.isOpen) return;
    const { address, port } = this.conn.peer;
    const message = `${address}:${port} has not begun HTTP/2 within ${this.#beginMs} ms: no SETTINGS`;
    this.conn.destroy(new MeshError('connect_timeout', message, { origin: 'upstream', retry: 'always' }));
  }

  get tellsConnectTimeouts(): boolean {
    return this.isLink && this.peer.knowsConnectTimeouts;
  }

  open(stream: ClientHttp2Stream): boolean {
    if (!this.#takeUnsent(stream)) return false;
    if (stream.head.protocol !== undefined && !this.peer.allowsConnectProtocol) {
      stream.move('reset');
      stream.deliverAborted(
        new MeshError('not_implemented', `upstream does not take up '${stream.head.protocol}'`, {
          origin: 'upstream',
        }),
      );
      this.#owner.onAvailable(this);
      return false;
    }
    stream.id = this.#nextStreamId;
    // The window may have changed since the request was queued.
    stream.sendWindow = this.peer.initialWindowSize;
    this.#nextStreamId += 2;
    this.streams.add(stream);
    if (this.#nextStreamId >= limits.streamsPerConnection) this.#stopServing();
    return true;
  }

  onUnsentGone(stream: ClientHttp2Stream): void {
    if (this.#takeUnsent(stream)) this.onStreamGone();
  }

  protected override get lastPeerStreamId(): number {
    return 0;
  }

  protected override blockKind(streamId: number): BlockKind {
    const stream = this.streams.get(streamId) as ClientHttp2Stream | undefined;
    return stream?.hasResponse === true ? 'trailers' : 'response';
  }

  protected override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId >= this.#nextStreamId;
  }

  protected override onBlock(streamId: number, endStream: boolean, result: DecodeResult): void {
    const stream = this.streams.get(streamId) as ClientHttp2Stream | undefined;
    if (stream === undefined) this.onStrayBlock(streamId);
    else if (!canReceive(stream.state))
      this.failStream(stream, faultCode.streamClosed, 'HEADERS after the end');
    else if (result === 'too_large')
      this.failStream(stream, faultCode.protocolError, 'header block too large');
    else if (stream.hasResponse) this.#onTrailers(stream, endStream);
    else this.#onResponse(stream, endStream);
  }

  #onResponse(stream: ClientHttp2Stream, endStream: boolean): void {
    const head = this.message.response();
    if (head === undefined) {
      this.failStream(stream, faultCode.protocolError, this.message.problem);
    } else if (head.status < 200) {
      if (endStream || !stream.receiveInformational(head)) {
        this.failStream(stream, faultCode.protocolError, `:status ${head.status} at the end or too often`);
      }
    } else if (!stream.receiveResponse(head, endStream)) {
      this.failStream(stream, faultCode.protocolError, 'content-length without a body');
    } else {
      this.hasAnswered = true;
      if (stream.state === 'closed') this.onStreamClosed(stream);
    }
  }

  #onTrailers(stream: ClientHttp2Stream, endStream: boolean): void {
    const trailers = this.message.trailers();
    // RFC 9113 §8.5: a tunnel carries DATA alone.
    if (trailers === undefined || !endStream || stream.hasOpened) {
      this.failStream(stream, faultCode.protocolError, this.message.problem || 'HEADERS that end no body');
      return;
    }
    this.endStream(stream, trailers);
  }

  protected override onPeerSettings(): void {
    this.#timers.disarm(this.#beginTimer);
    const waiting = this.#awaitSettings;
    this.#awaitSettings = [];
    for (const stream of waiting) this.queueHead(stream);
    if (this.available > 0) this.#owner.onAvailable(this);
  }

  protected override onGoaway(source: Buffer, start: number, end: number): void {
    this.#stopServing();
    const lastStreamId = readU32(source, start) & 0x7fff_ffff;
    const fault = faultName(readU32(source, start + 4));
    const debug = readText(source, start + 8, end);
    const why = debug === '' ? fault : `${fault}, ${debug}`;
    const error = new MeshError('stream_refused', `upstream goes away: ${why}`, {
      origin: 'upstream',
      retry: 'always',
    });
    for (const stream of [...this.#unsent]) this.#giveUp(stream, error);
    // RFC 9113 §6.8: streams above were not processed and may be sent again.
    for (const stream of this.streams.values()) {
      if (stream.id > lastStreamId) this.#giveUp(stream, error);
    }
    this.#finishIfDone();
  }

  /** Out of the list, whose last one takes its place; false where it has left already. */
  #takeUnsent(stream: ClientHttp2Stream): boolean {
    const at = stream.unsentAt;
    if (at === -1) return false;
    stream.unsentAt = -1;
    const last = this.#unsent.pop() as ClientHttp2Stream;
    if (last !== stream) {
      this.#unsent[at] = last;
      last.unsentAt = at;
    }
    return true;
  }

  #giveUp(stream: Http2Stream, error: MeshError): void {
    this.#takeUnsent(stream as ClientHttp2Stream);
    this.streams.delete(stream.id);
    stream.move('reset');
    stream.deliverAborted(error);
  }

  protected override onPong(): void {}

  protected override onFlowing(): void {
    if (this.#phase === 'serving') this.#owner.onAvailable(this);
  }

  protected override onStreamGone(): void {
    if (this.#phase === 'serving') this.#owner.onAvailable(this);
    else this.#finishIfDone();
  }

  #stopServing(): void {
    if (this.#phase !== 'serving') return;
    this.#phase = 'ending';
    this.#owner.onUnavailable(this);
  }

  #finishIfDone(): void {
    if (this.#phase !== 'ending' || this.active > 0 || !this.isOpen) return;
    this.#phase = 'dead';
    this.sendGoaway(0, faultCode.noError, '');
    this.transmitter.finish();
  }

  /** Nothing can be answered any more. */
  protected override onPeerFin(): void {
    this.conn.destroy(
      new MeshError('connection_closed', 'connection closed by peer', {
        origin: 'upstream',
        retry: 'if_idempotent',
      }),
    );
  }

  protected override onFailed(fault: ConnectionFault): void {
    const text = faultText(fault);
    this.#failure = new MeshError(fault.code, text, { origin: 'upstream', retry: 'always', cause: fault });
    this.#giveUpUnsent(text);
  }

  protected override onDead(error: MeshError | undefined): void {
    this.#timers.disarm(this.#beginTimer);
    this.#giveUpUnsent(error?.message ?? 'connection closed by peer');
    if (this.#wasClosed) return;
    this.#wasClosed = true;
    // Whoever waits for it to begin has sent nothing, and is told what was wrong.
    this.#owner.onClosed(this, error ?? this.#failure);
  }

  /** What never left may be sent on another connection. */
  #giveUpUnsent(message: string): void {
    this.#stopServing();
    this.#phase = 'dead';
    const reason = new MeshError('connection_closed', message, { origin: 'upstream', retry: 'always' });
    for (const stream of [...this.#unsent]) this.#giveUp(stream, reason);
  }
}
