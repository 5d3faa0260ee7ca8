// hot: every byte that arrives.
/**
 * Cuts the byte stream into frames. A frame that lies within one chunk is handed over in place; of one that
 * does not, the small part is kept. DATA is passed on as it arrives, whole or in parts, and never copied.
 *
 *   preface ─▶ header ─▶ payload complete ─▶ onFrame ─▶ header …
 *                   └──▶ DATA ─▶ onDataBegin, onDataPart*, onDataDone ─▶ header …
 */
import { ConnectionFault, faultCode } from './fault.ts';
import { clientPreface, flag, frameHeaderBytes, frameType, readU32 } from './frame.ts';
import { limits } from './limits.ts';

/** Hears of the frames in order; any call may throw a ConnectionFault. */
export interface FrameSink {
  /** A complete frame other than DATA: its payload is `source[start, end)`, valid during the call. */
  onFrame(header: FrameHeader, source: Buffer, start: number, end: number): void;
  /** `header.length` counts against flow control, padding included. */
  onDataBegin(header: FrameHeader): void;
  onDataPart(chunk: Buffer): void;
  onDataDone(header: FrameHeader): void;
}

/** The header at hand; one object, filled anew for each frame. */
export interface FrameHeader {
  length: number;
  type: number;
  flags: number;
  streamId: number;
}

const preface = Buffer.from(clientPreface, 'latin1');

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #header: FrameHeader = { length: 0, type: 0, flags: 0, streamId: 0 };
  /** How much of the client's preface was seen. */
  #prefaceSeen: number;
  /** Beginning of a frame whose rest has not arrived. */
  #carry: Buffer = Buffer.allocUnsafeSlow(64);
  #carried = 0;
  #carriedSeconds = 0;
  /** What is still to come of a DATA frame. */
  #dataLeft = 0;
  #padLeft = 0;
  #isInData = false;
  #isStopped = false;
  #isHeld = false;

  /** A server's reader expects the client's preface first. */
  constructor(sink: FrameSink, side: 'server' | 'client') {
    this.#sink = sink;
    this.#prefaceSeen = side === 'server' ? 0 : preface.length;
  }

  /** Drops all that follows. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Stops after the frame at hand. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Whether a frame other than DATA has been coming for too long, `seconds` after this was last asked. */
  isLate(seconds: number): boolean {
    if (this.#carried === 0) return false;
    this.#carriedSeconds += seconds;
    return this.#carriedSeconds * 1000 >= limits.headMs;
  }

  /** Returns what `hold` left unread of the chunk, or undefined. */
  read(chunk: Buffer): Buffer | undefined {
    this.#isHeld = false;
    let pos = this.#prefaceSeen < preface.length ? this.#readPreface(chunk) : 0;
    if (this.#carried > 0 && pos < chunk.length) pos = this.#readCarried(chunk, pos);
    while (pos < chunk.length && !this.#isStopped) {
      if (this.#isHeld) return chunk.subarray(pos);
      if (this.#isInData) {
        pos = this.#readData(chunk, pos);
        continue;
      }
      const next = this.#readFrame(chunk, pos, chunk.length);
      if (next === -1) {
        this.#keep(chunk, pos, chunk.length);
        return undefined;
      }
      pos = next;
    }
    return undefined;
  }

  #readPreface(chunk: Buffer): number {
    let pos = 0;
    while (this.#prefaceSeen < preface.length && pos < chunk.length) {
      if (chunk[pos++] !== preface[this.#prefaceSeen++]) {
        throw new ConnectionFault(faultCode.protocolError, 'no client preface');
      }
    }
    return pos;
  }

  /** Reads the frame at `pos`; returns the position after it, or -1 where it is incomplete. */
  #readFrame(source: Buffer, pos: number, end: number): number {
    if (end - pos < frameHeaderBytes) return -1;
    const header = this.#header;
    const length =
      ((source[pos] as number) << 16) | ((source[pos + 1] as number) << 8) | (source[pos + 2] as number);
    const type = source[pos + 3] as number;
    const flags = source[pos + 4] as number;
    // The highest bit is reserved and ignored (RFC 9113 §4.1).
    const streamId = readU32(source, pos + 5) & 0x7fff_ffff;
    if (length > limits.frameBytes) {
      throw new ConnectionFault(faultCode.frameSizeError, `frame of ${length} bytes`);
    }
    if (type === frameType.data) {
      const isPadded = (flags & flag.padded) !== 0;
      if (isPadded && length > 0 && end - pos < frameHeaderBytes + 1) return -1;
      header.length = length;
      header.type = type;
      header.flags = flags;
      header.streamId = streamId;
      return this.#beginData(isPadded, source[pos + frameHeaderBytes] as number, pos + frameHeaderBytes);
    }
    const after = pos + frameHeaderBytes + length;
    if (after > end) return -1;
    header.length = length;
    header.type = type;
    header.flags = flags;
    header.streamId = streamId;
    this.#sink.onFrame(header, source, pos + frameHeaderBytes, after);
    return after;
  }

  #beginData(isPadded: boolean, firstByte: number, payloadAt: number): number {
    const header = this.#header;
    let padding = 0;
    let pos = payloadAt;
    if (isPadded) {
      // RFC 9113 §6.1: padding of the payload's length or more.
      if (header.length === 0) throw new ConnectionFault(faultCode.frameSizeError, 'padded frame is empty');
      padding = firstByte;
      pos++;
      if (padding >= header.length)
        throw new ConnectionFault(faultCode.protocolError, 'padding over the frame');
    }
    this.#dataLeft = header.length - padding - (isPadded ? 1 : 0);
    this.#padLeft = padding;
    this.#isInData = true;
    this.#sink.onDataBegin(header);
    if (this.#dataLeft + this.#padLeft === 0) this.#endData();
    return pos;
  }

  #readData(chunk: Buffer, from: number): number {
    let pos = from;
    if (this.#dataLeft > 0) {
      const to = Math.min(pos + this.#dataLeft, chunk.length);
      this.#dataLeft -= to - pos;
      this.#sink.onDataPart(pos === 0 && to === chunk.length ? chunk : chunk.subarray(pos, to));
      pos = to;
    }
    if (this.#dataLeft === 0 && this.#padLeft > 0) {
      const skipped = Math.min(this.#padLeft, chunk.length - pos);
      this.#padLeft -= skipped;
      pos += skipped;
    }
    if (this.#dataLeft + this.#padLeft === 0) this.#endData();
    return pos;
  }

  #endData(): void {
    this.#isInData = false;
    this.#sink.onDataDone(this.#header);
  }

  /** Completes the frame whose beginning was kept; returns the position in `chunk` after it. */
  #readCarried(chunk: Buffer, from: number): number {
    let pos = from;
    while (this.#carried > 0) {
      const need = this.#carriedNeed();
      const take = Math.min(need - this.#carried, chunk.length - pos);
      this.#keep(chunk, pos, pos + take);
      pos += take;
      if (this.#carried < need) return pos;
      const carried = this.#carried;
      // Emptied first: a fault may end the connection from within.
      this.#carried = 0;
      if (this.#readFrame(this.#carry, 0, carried) === -1) this.#carried = carried;
      else break;
    }
    return pos;
  }

  /** How many bytes the kept frame needs to be read: first its header, then all of it, of DATA only its pad length. */
  #carriedNeed(): number {
    if (this.#carried < frameHeaderBytes) return frameHeaderBytes;
    const bytes = this.#carry;
    const length = ((bytes[0] as number) << 16) | ((bytes[1] as number) << 8) | (bytes[2] as number);
    if (bytes[3] === frameType.data) {
      return ((bytes[4] as number) & flag.padded) !== 0 && length > 0
        ? frameHeaderBytes + 1
        : frameHeaderBytes;
    }
    return frameHeaderBytes + Math.min(length, limits.frameBytes);
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    if (this.#carried === 0) this.#carriedSeconds = 0;
    const size = this.#carried + to - from;
    if (size > this.#carry.length) {
      const next = Buffer.allocUnsafeSlow(Math.max(size, this.#carriedNeedHint(chunk, from)));
      this.#carry.copy(next, 0, 0, this.#carried);
      this.#carry = next;
    }
    chunk.copy(this.#carry, this.#carried, from, to);
    this.#carried = size;
  }

  /** Room for the whole frame at once, where its length is known. */
  #carriedNeedHint(chunk: Buffer, from: number): number {
    if (this.#carried >= frameHeaderBytes) return this.#carriedNeed();
    if (this.#carried > 0) return frameHeaderBytes;
    const length = ((chunk[from] as number) << 16) | ((chunk[from + 1] as number) << 8);
    return frameHeaderBytes + Math.min(length + 255, limits.frameBytes);
  }
}
