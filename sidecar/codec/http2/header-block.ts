// hot: every HEADERS frame.
/**
 * Header blocks out of HEADERS and CONTINUATION frames. RFC 9113 §6.2, §6.10.
 * A block within one frame is handed over in place, of others the parts are joined.
 */
import { ownCopy } from '../own-copy.ts';
import { badSize, breach, ConnectionFault, faultCode } from './fault.ts';
import type { FloodGuard } from './flood-guard.ts';
import { flag, readU32 } from './frame.ts';
import type { FrameHeader } from './frame-reader.ts';
import { limits } from './limits.ts';

const nothing = Buffer.alloc(0);

export class HeaderBlock {
  /** The stream whose CONTINUATION must come next, or 0. */
  awaits = 0;
  /** The whole block: `source[start, end)`. */
  streamId = 0;
  endStream = false;
  source: Buffer = nothing;
  start = 0;
  end = 0;
  readonly #guard: FloodGuard;
  readonly #mostBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;
  #seconds = 0;

  constructor(guard: FloodGuard, isLink: boolean) {
    this.#guard = guard;
    this.#mostBytes = limits.blockBytes + (isLink ? limits.linkExtraBytes : 0);
  }

  /** Takes a HEADERS frame; true where the block is whole. */
  onHeaders(header: FrameHeader, source: Buffer, from: number, to: number): boolean {
    const { streamId, flags } = header;
    if (streamId === 0) throw breach('HEADERS on stream 0');
    this.#guard.onHeaders();
    let start = from;
    let end = to;
    if ((flags & flag.padded) !== 0) {
      if (start === end) throw badSize('padded HEADERS', 0);
      end -= source[start++] as number;
    }
    if ((flags & flag.priority) !== 0) start = this.#skipPriority(streamId, source, start, to);
    if (start > end) throw breach('padding over the frame');
    this.streamId = streamId;
    this.endStream = (flags & flag.endStream) !== 0;
    if ((flags & flag.endHeaders) !== 0) {
      this.source = source;
      this.start = start;
      this.end = end;
      return true;
    }
    if (start === end) this.#guard.onEmptyFrame();
    this.awaits = streamId;
    this.#parts = [ownCopy(source, start, end)];
    this.#bytes = end - start;
    this.#seconds = 0;
    return false;
  }

  /** Whether its frames have been coming for too long, `seconds` after this was last asked. */
  isLate(seconds: number): boolean {
    if (this.awaits === 0) return false;
    this.#seconds += seconds;
    return this.#seconds * 1000 >= limits.headMs;
  }

  /** The block was read: without this the last one would keep its read buffer for as long as the connection idles. */
  release(): void {
    this.source = nothing;
  }

  /** RFC 9113 §5.3.2: priorities are read over. */
  #skipPriority(streamId: number, source: Buffer, start: number, end: number): number {
    if (start + 5 > end) throw badSize('HEADERS with priority', end - start);
    if ((readU32(source, start) & 0x7fff_ffff) === streamId) throw breach('stream depends on itself');
    return start + 5;
  }

  /** Takes a CONTINUATION frame; true where the block is whole. */
  onContinuation(header: FrameHeader, source: Buffer, start: number, end: number): boolean {
    if (this.awaits === 0) throw breach('CONTINUATION without HEADERS');
    const isLast = (header.flags & flag.endHeaders) !== 0;
    if (start === end && !isLast) this.#guard.onEmptyFrame();
    this.#parts.push(ownCopy(source, start, end));
    this.#bytes += end - start;
    // CVE-2024-27316: a block that never ends.
    if (this.#parts.length > limits.continuationsPerBlock + 1 || this.#bytes > this.#mostBytes) {
      throw new ConnectionFault(faultCode.enhanceYourCalm, 'header block too large');
    }
    if (!isLast) return false;
    this.source = Buffer.concat(this.#parts);
    this.start = 0;
    this.end = this.source.length;
    this.#parts = [];
    this.awaits = 0;
    return true;
  }
}
