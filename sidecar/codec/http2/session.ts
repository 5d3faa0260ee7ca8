// hot: every frame passes through here.
/**
 * One HTTP/2 connection, whichever side we are on: it takes frames apart into events of streams, keeps the
 * connection's own state (settings, windows, GOAWAY), and answers every breach of RFC 9113 with the error the RFC asks for.
 * `server-session.ts` and `client-session.ts` add what a new stream means. Sending is in `transmitter.ts`,
 * time in `liveness.ts`.
 */
import { MeshError, type Origin } from '../../../kit/errors.ts';
import type { Conn, ConnHandler } from '../../net/conn.ts';
import { DataReader } from './data-reader.ts';
import { badSize, breach, ConnectionFault, type FaultCode, faultCode, faultText } from './fault.ts';
import { FloodGuard } from './flood-guard.ts';
import {
  flag,
  frameType,
  readU32,
  writeGoaway,
  writePing,
  writeReset,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from './frame.ts';
import type { FrameHeader, FrameSink } from './frame-reader.ts';
import { HeaderBlock } from './header-block.ts';
import { type DecodeResult, HpackDecoder } from './hpack/decoder.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { limits } from './limits.ts';
import { Liveness } from './liveness.ts';
import { type BlockKind, MessageReader } from './message-reader.ts';
import { OutBuffer } from './out-buffer.ts';
import { PacedReader } from './paced-reader.ts';
import { RecentIds } from './recent-ids.ts';
import type { SessionInit } from './services.ts';
import { firstWindowOf, ourSettings, PeerSettings, requireLinkVersion } from './settings.ts';
import type { Http2Stream, StreamHost } from './stream.ts';
import { StreamTable } from './stream-table.ts';
import { Transmitter } from './transmitter.ts';
import type { WindowBudget } from './window.ts';

export abstract class Session implements ConnHandler, FrameSink, StreamHost {
  readonly isLink: boolean;
  readonly windowBudget: WindowBudget;
  readonly firstWindow: number;
  readonly streams = new StreamTable();
  protected readonly conn: Conn;
  protected readonly peer: PeerSettings;
  protected readonly message: MessageReader;
  protected readonly guard: FloodGuard;
  protected readonly transmitter: Transmitter;
  protected readonly liveness: Liveness;
  /** Whose fault it is when the peer breaks the protocol. */
  protected readonly peerOrigin: Origin;
  protected readonly reader: PacedReader;
  readonly #decoder: HpackDecoder;
  #state: 'open' | 'failed' | 'closed' = 'open';
  protected hasPeerSettings = false;
  hasSettingsAck = false;
  protected readonly data: DataReader;
  readonly #block: HeaderBlock;
  readonly #ended = new RecentIds();

  constructor(init: SessionInit) {
    const { conn, services, options, side } = init;
    this.conn = conn;
    this.isLink = options.link;
    this.windowBudget = services.windowBudget;
    this.firstWindow = firstWindowOf(side, options.link);
    this.peer = new PeerSettings(side);
    this.peerOrigin = side === 'server' ? 'downstream' : 'upstream';
    this.message = new MessageReader(options.link);
    this.guard = new FloodGuard(options.link, side, services.timers);
    this.#block = new HeaderBlock(this.guard, options.link);
    this.reader = new PacedReader({
      session: this,
      side,
      conn,
      flusher: services.flusher,
      streamsPerRead: options.link ? limits.linkStreamsPerRead : limits.plainStreamsPerRead,
    });
    const tableBytes = options.link ? limits.linkTableBytes : limits.plainTableBytes;
    this.#decoder = new HpackDecoder(tableBytes, options.link);
    const encoder = new HpackEncoder({ maxTableBytes: tableBytes, compact: !options.link });
    this.transmitter = new Transmitter({
      conn,
      flusher: services.flusher,
      out: services.out,
      encoder,
      guard: this.guard,
      isLink: options.link,
      streams: this.streams,
    });
    this.data = new DataReader(this, { guard: this.guard, transmitter: this.transmitter, side });
    this.liveness = new Liveness(this, {
      conn,
      timers: services.timers,
      random: services.random,
      idleMs: options.idleMs,
      isApp: side === 'client' && !options.link,
    });
  }

  /** What a block on this stream would be. */
  protected abstract blockKind(streamId: number): BlockKind;
  /** A whole header block was decoded into `message`. */
  protected abstract onBlock(streamId: number, endStream: boolean, result: DecodeResult): void;
  /** Whether the stream was never opened. */
  protected abstract isIdle(streamId: number): boolean;
  protected abstract onPeerSettings(): void;
  protected abstract onGoaway(source: Buffer, start: number, end: number): void;
  /** A PING of ours with this first byte was answered. */
  protected abstract onPong(kind: number): void;
  protected abstract onStreamGone(stream: Http2Stream): void;
  /** The last id of the peer's streams that we took up. */
  protected abstract get lastPeerStreamId(): number;
  /** The connection stopped working, by our word or the peer's; streams have been told. */
  protected abstract onDead(error: MeshError | undefined): void;
  protected abstract onPeerFin(): void;
  /** Slow readers stall the connection no longer. */
  protected abstract onFlowing(): void;
  /** We gave the connection up; it will be closed. */
  protected abstract onFailed(fault: ConnectionFault): void;
  /** Nothing was in flight for too long. */
  abstract onIdle(): void;

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Sends the preface's SETTINGS and begins to read. */
  protected start(side: 'server' | 'client'): void {
    const out = this.transmitter.controlOut;
    writeSettings(out, ourSettings(side, this.isLink));
    writeWindowUpdate(out, 0, this.data.firstGrant);
    this.liveness.start();
    this.conn.setHandler(this);
  }

  // ConnHandler

  onData(chunk: Buffer): void {
    if (this.#state !== 'open') return;
    try {
      this.reader.read(chunk);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionFault)) throw thrown;
      this.failConnection(thrown);
    }
  }

  onEnd(): void {
    if (this.#state !== 'open' || this.reader.endsLater()) return;
    this.transmitter.peerEnded = true;
    this.onPeerFin();
  }

  onWritable(): void {
    this.transmitter.schedule();
  }

  onClosed(error: MeshError | undefined): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    this.#shutDown();
    if (wasOpen) {
      const reason =
        error ?? new MeshError('connection_closed', 'connection closed by peer', { origin: this.peerOrigin });
      this.#abortAll(reason);
    }
    this.onDead(error);
  }

  // FrameSink

  onFrame(header: FrameHeader, source: Buffer, start: number, end: number): void {
    if (this.#block.awaits !== 0 || !this.hasPeerSettings) this.#checkOrder(header);
    switch (header.type) {
      case frameType.headers:
        if (this.#block.onHeaders(header, source, start, end)) this.#onBlock();
        break;
      case frameType.continuation:
        if (this.#block.onContinuation(header, source, start, end)) this.#onBlock();
        break;
      case frameType.windowUpdate:
        this.#onWindowUpdate(header, source, start);
        break;
      case frameType.rstStream:
        this.#onReset(header, source, start);
        break;
      case frameType.settings:
        this.#onSettings(header, source, start, end);
        break;
      case frameType.ping:
        this.#onPing(header, source, start);
        break;
      case frameType.priority:
        this.#onPriority(header, source, start);
        break;
      case frameType.goaway:
        if (header.streamId !== 0) throw breach('GOAWAY on a stream');
        if (header.length < 8) throw badSize('GOAWAY', header.length);
        this.guard.onOddFrame();
        this.onGoaway(source, start, end);
        break;
      case frameType.pushPromise:
        throw breach('PUSH_PROMISE');
      default:
        // RFC 9113 §5.5: unknown types are ignored.
        this.guard.onOddFrame();
    }
  }

  onDataBegin(header: FrameHeader): void {
    if (this.#block.awaits !== 0 || !this.hasPeerSettings) this.#checkOrder(header);
    this.data.begin(header);
  }

  onDataPart(chunk: Buffer): void {
    this.data.part(chunk);
  }

  onDataDone(header: FrameHeader): void {
    this.data.done(header);
  }

  // StreamHost

  queueHead(stream: Http2Stream): void {
    this.transmitter.queueHead(stream);
  }

  queueData(stream: Http2Stream): void {
    this.transmitter.queueData(stream);
  }

  addQueued(bytes: number): number {
    this.transmitter.queuedBytes += bytes;
    return this.transmitter.queuedBytes;
  }

  addHeld(bytes: number): void {
    const wasStalled = this.data.isStalled;
    this.data.addHeld(bytes);
    if (wasStalled && !this.data.isStalled) this.onFlowing();
  }

  queueDelivery(stream: Http2Stream): void {
    this.transmitter.queueDelivery(stream);
  }

  grantWindow(stream: Http2Stream, increment: number): void {
    if (this.#state === 'open') writeWindowUpdate(this.transmitter.controlOut, stream.id, increment);
  }

  resetStream(stream: Http2Stream, code: number): void {
    stream.move('reset');
    if (stream.id === 0 || !this.streams.delete(stream.id)) return;
    if (this.#state === 'open') writeReset(this.transmitter.controlOut, stream.id, code);
    this.onStreamGone(stream);
  }

  abandonStream(stream: Http2Stream, code: number): void {
    this.guard.onEarlyEnd();
    this.resetStream(stream, code);
  }

  forgetStream(stream: Http2Stream): void {
    if (!this.streams.delete(stream.id)) return;
    this.guard.onEarlyEnd();
    this.onStreamGone(stream);
  }

  onStreamClosed(stream: Http2Stream): void {
    if (!this.streams.delete(stream.id)) return;
    this.#ended.add(stream.id);
    this.guard.onCompleted();
    this.onStreamGone(stream);
  }

  // For the two sides

  /** The peer ended its side of the stream. */
  endStream(stream: Http2Stream, trailers: Parameters<Http2Stream['receiveEnd']>[0]): void {
    if (!stream.receiveEnd(trailers)) {
      this.failStream(stream, faultCode.protocolError, 'body shorter than content-length');
    } else if (stream.state === 'closed') this.onStreamClosed(stream);
  }

  /** The peer broke one stream. */
  failStream(stream: Http2Stream, code: FaultCode, problem: string): void {
    this.guard.onReset();
    stream.fail(code, new MeshError('malformed_message', problem, { origin: this.peerOrigin }));
  }

  /** The peer broke a stream that we do not have. */
  protected refuseStream(streamId: number, code: FaultCode): void {
    writeReset(this.transmitter.controlOut, streamId, code);
  }

  /** GOAWAY with the fault's code, then the connection is closed; streams hear of it now. */
  failConnection(fault: ConnectionFault): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    // Not through the transmitter, which may be at work: its control frames go first, the rest is lost.
    const { control } = this.transmitter;
    const last = new OutBuffer(512);
    last.append(control.bytes, control.start, control.pos);
    writeGoaway(last, this.lastPeerStreamId, fault.faultCode, fault.message);
    this.#shutDown();
    this.conn.write(last.bytes.subarray(0, last.pos));
    this.conn.close();
    this.onFailed(fault);
    this.#abortAll(new MeshError(fault.code, faultText(fault), { origin: this.peerOrigin, cause: fault }));
  }

  protected sendGoaway(lastStreamId: number, code: FaultCode, debug: string): void {
    writeGoaway(this.transmitter.controlOut, lastStreamId, code, debug);
  }

  /** A PING that `onPong` will tell the kind of. */
  sendPing(kind: number): void {
    pingPayload[0] = kind;
    writePing(this.transmitter.controlOut, pingPayload, 0, false);
  }

  /** Once a second or so. */
  onTick(seconds: number): void {
    this.guard.refill(seconds);
    for (const stream of this.streams.values()) {
      stream.compact();
      // CVE-2019-9511: windows held at zero.
      if (stream.mayStall || !this.transmitter.isStuck(stream, seconds)) continue;
      const error = new MeshError('idle_timeout', 'peer takes no data', { origin: this.peerOrigin });
      stream.fail(faultCode.cancel, error);
    }
  }

  /** Decoded size of the header block at hand. */
  protected get blockBytes(): number {
    return this.#decoder.blockBytes;
  }

  /** Bodies that wait, on their way in and out. */
  protected get bodyBytes(): number {
    return this.data.heldBytes + this.transmitter.queuedBytes;
  }

  /** Whether a frame or a header block has been coming for too long, `seconds` after this was last asked. */
  isHeadLate(seconds: number): boolean {
    return this.#block.isLate(seconds) || this.reader.isLate(seconds);
  }

  #shutDown(): void {
    this.reader.stop();
    this.liveness.stop();
    this.transmitter.close();
  }

  #abortAll(error: MeshError): void {
    const streams = this.streams.values();
    this.streams.clear();
    for (const stream of streams) {
      if (stream.state === 'closed') continue;
      stream.move('reset');
      stream.onLost(error);
    }
  }

  /** RFC 9113 §3.4, §4.3: SETTINGS come first, and nothing comes between the frames of a header block. */
  #checkOrder(header: FrameHeader): void {
    if (!this.hasPeerSettings) {
      if (header.type !== frameType.settings || (header.flags & flag.ack) !== 0) {
        throw breach('first frame is not SETTINGS');
      }
    } else if (header.type !== frameType.continuation || header.streamId !== this.#block.awaits) {
      throw breach('frame within a header block');
    }
  }

  /** A frame for a stream that is not there: no mistake only where it may have crossed our reset. */
  onStray(streamId: number, what: string): void {
    if (this.isIdle(streamId)) throw breach(`${what} on idle stream ${streamId}`);
    if (this.#ended.has(streamId)) {
      throw new ConnectionFault(faultCode.streamClosed, `${what} on closed stream ${streamId}`);
    }
  }

  #onBlock(): void {
    const { streamId, endStream, source, start, end } = this.#block;
    this.message.begin(this.blockKind(streamId));
    const result = this.#decoder.decode(source, start, end, this.message);
    this.#block.release();
    this.onBlock(streamId, endStream, result);
  }

  /** A block on a stream that is over: decoded for the table's sake, and judged like other stray frames. */
  protected onStrayBlock(streamId: number): void {
    this.onStray(streamId, 'HEADERS');
    this.guard.onOddFrame();
  }

  #onPriority(header: FrameHeader, source: Buffer, start: number): void {
    if (header.streamId === 0) throw breach('PRIORITY on stream 0');
    if (header.length !== 5) throw badSize('PRIORITY', header.length);
    if ((readU32(source, start) & 0x7fff_ffff) === header.streamId) throw breach('stream depends on itself');
    this.guard.onOddFrame();
  }

  #onReset(header: FrameHeader, source: Buffer, start: number): void {
    const { streamId } = header;
    if (streamId === 0) throw breach('RST_STREAM on stream 0');
    if (header.length !== 4) throw badSize('RST_STREAM', header.length);
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw breach(`RST_STREAM on idle stream ${streamId}`);
      // It crossed our end of the stream; after this the peer has nothing more to say there.
      this.#ended.add(streamId);
      this.guard.onOddFrame();
      return;
    }
    stream.move('reset');
    this.streams.delete(streamId);
    this.#ended.add(streamId);
    stream.onPeerReset(readU32(source, start));
    this.onStreamGone(stream);
    // Of a server's resets each has cost us a request, so only clients' can be a flood.
    if (this.peerOrigin === 'downstream') this.guard.onCancelled(stream.openedTick);
  }

  #onWindowUpdate(header: FrameHeader, source: Buffer, start: number): void {
    if (header.length !== 4) throw badSize('WINDOW_UPDATE', header.length);
    this.guard.onWindowUpdate(this.streams.size);
    const { streamId } = header;
    const increment = readU32(source, start) & 0x7fff_ffff;
    if (streamId === 0) {
      if (increment === 0) throw breach('WINDOW_UPDATE of 0');
      if (!this.transmitter.addWindow(increment)) {
        throw new ConnectionFault(faultCode.flowControlError, 'connection window over 2^31-1');
      }
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw breach(`WINDOW_UPDATE on idle stream ${streamId}`);
      // RFC 9113 §5.1: it may have crossed the stream's end. One of 0 is wrong wherever it comes.
      if (increment > 0) return;
      this.guard.onReset();
      this.refuseStream(streamId, faultCode.protocolError);
      return;
    }
    if (increment === 0) this.failStream(stream, faultCode.protocolError, 'WINDOW_UPDATE of 0');
    else if (!this.transmitter.addStreamWindow(stream, increment)) {
      this.failStream(stream, faultCode.flowControlError, 'stream window over 2^31-1');
    }
  }

  #onSettings(header: FrameHeader, source: Buffer, start: number, end: number): void {
    if (header.streamId !== 0) throw breach('SETTINGS on a stream');
    if ((header.flags & flag.ack) !== 0) {
      if (header.length !== 0) throw badSize('SETTINGS acknowledgement', header.length);
      this.guard.onOddFrame();
      this.hasSettingsAck = true;
      return;
    }
    if (header.length % 6 !== 0) throw badSize('SETTINGS', header.length);
    this.guard.onSettings();
    const before = this.peer.initialWindowSize;
    this.peer.apply(source, start, end);
    if (this.isLink) requireLinkVersion(this.peer);
    this.transmitter.encoder.setPeerTableSize(this.peer.headerTableSize, this.peer.leastTableSize);
    this.#moveWindows(this.peer.initialWindowSize - before);
    this.hasPeerSettings = true;
    writeSettingsAck(this.transmitter.controlOut);
    this.onPeerSettings();
  }

  /** RFC 9113 §6.9.2: windows of live streams change by the difference and may become negative. */
  #moveWindows(difference: number): void {
    if (difference === 0) return;
    for (const stream of this.streams.values()) {
      if (!this.transmitter.addStreamWindow(stream, difference)) {
        throw new ConnectionFault(faultCode.flowControlError, 'stream window over 2^31-1');
      }
    }
  }

  #onPing(header: FrameHeader, source: Buffer, start: number): void {
    if (header.streamId !== 0) throw breach('PING on a stream');
    if (header.length !== 8) throw badSize('PING', header.length);
    if ((header.flags & flag.ack) !== 0) {
      this.guard.onOddFrame();
      this.onPong(source[start] as number);
      return;
    }
    this.guard.onPing();
    writePing(this.transmitter.controlOut, source, start, true);
  }
}

/** One for all: it is copied when it is written. */
const pingPayload = Buffer.from([0, 0x68, 0x65, 0x64, 0x64, 0x6c, 0x65, 0]);
