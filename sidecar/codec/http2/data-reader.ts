// hot: every DATA frame that arrives.
/** DATA on its way to its streams: windows, floods, and the bodies that wait for their readers. RFC 9113 §6.1, §6.9. */
import { breach, type FaultCode, faultCode } from './fault.ts';
import type { FloodGuard } from './flood-guard.ts';
import { flag, writeWindowUpdate } from './frame.ts';
import type { FrameHeader } from './frame-reader.ts';
import { limits } from './limits.ts';
import type { Http2Stream } from './stream.ts';
import { canReceive } from './stream-state.ts';
import type { Transmitter } from './transmitter.ts';
import { ConnectionWindow } from './window.ts';

/** What it needs of its session. */
export interface DataHost {
  readonly isLink: boolean;
  readonly isOpen: boolean;
  readonly streams: { get(id: number): Http2Stream | undefined };
  failStream(stream: Http2Stream, code: FaultCode, problem: string): void;
  endStream(stream: Http2Stream, trailers: undefined): void;
  /** A frame for a stream that is not there. */
  onStray(streamId: number, what: string): void;
}

export interface DataReaderInit {
  readonly guard: FloodGuard;
  readonly transmitter: Transmitter;
  readonly side: 'server' | 'client';
}

export class DataReader {
  readonly #host: DataHost;
  readonly #guard: FloodGuard;
  readonly #transmitter: Transmitter;
  readonly #window: ConnectionWindow;
  /** The stream of the frame at hand, where it may have it. */
  #stream: Http2Stream | undefined = undefined;

  constructor(host: DataHost, { guard, transmitter, side }: DataReaderInit) {
    this.#host = host;
    this.#guard = guard;
    this.#transmitter = transmitter;
    this.#window = newWindow(host.isLink, side);
  }

  /** What has to be granted when the connection begins. */
  get firstGrant(): number {
    return this.#window.firstGrant;
  }

  /** Slow readers keep so much waiting that every body may have to wait for them. */
  get isStalled(): boolean {
    return this.#window.isStalled;
  }

  /** Bytes of bodies that wait for their readers. */
  get heldBytes(): number {
    return this.#window.heldBytes;
  }

  /** `bytes` more (or fewer) wait for their readers. */
  addHeld(bytes: number): void {
    this.#grant(this.#window.addHeld(bytes));
  }

  begin(header: FrameHeader): void {
    const { streamId, length } = header;
    const host = this.#host;
    this.#stream = undefined;
    if (streamId === 0) throw breach('DATA on stream 0');
    this.#grant(this.#window.receive(length));
    const stream = host.streams.get(streamId);
    if (stream === undefined) {
      host.onStray(streamId, 'DATA');
      // A body on its way when we answered early is not small.
      if (length === 0) this.#guard.onOddFrame();
      else this.#guard.onData(length, undefined);
      return;
    }
    if (!canReceive(stream.state)) {
      host.failStream(stream, faultCode.streamClosed, 'DATA after the end');
      return;
    }
    if (!stream.isBodyDue) {
      host.failStream(stream, faultCode.protocolError, 'DATA before the head');
      return;
    }
    if ((header.flags & flag.endStream) === 0) {
      if (length === 0) this.#guard.onEmptyFrame();
      else this.#guard.onData(length, stream);
    }
    if (!stream.countReceived(length)) {
      host.failStream(stream, faultCode.flowControlError, 'stream window overrun');
      return;
    }
    this.#stream = stream;
  }

  part(chunk: Buffer): void {
    const stream = this.#stream;
    if (stream === undefined || !canReceive(stream.state)) return;
    if (!stream.receivePart(chunk)) {
      this.#host.failStream(stream, faultCode.protocolError, 'body differs from content-length');
    }
  }

  done(header: FrameHeader): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined || !canReceive(stream.state)) return;
    if ((header.flags & flag.endStream) !== 0) this.#host.endStream(stream, undefined);
    else stream.grantCredit();
  }

  #grant(increment: number): void {
    if (increment > 0 && this.#host.isOpen) writeWindowUpdate(this.#transmitter.controlOut, 0, increment);
  }
}

function newWindow(isLink: boolean, side: 'server' | 'client'): ConnectionWindow {
  if (isLink) return new ConnectionWindow(limits.linkConnectionWindow, limits.linkHeldBytes);
  const heldBytes = side === 'server' ? limits.plainHeldBytes : limits.appHeldBytes;
  return new ConnectionWindow(limits.plainConnectionWindow, heldBytes);
}
