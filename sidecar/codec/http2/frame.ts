// hot: every frame passes through these few lines.
/** Frame types, flags and the writing of frames. RFC 9113 §4.1, §6. */
import { limits } from './limits.ts';
import type { OutBuffer } from './out-buffer.ts';

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = {
  ack: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

export const frameHeaderBytes = 9;

/** What a client sends first. RFC 9113 §3.4. */
export const clientPreface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** Type and flags are one number here, `type << 8 | flags`. */
function putHeader(bytes: Buffer, at: number, length: number, typeFlags: number, streamId: number): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = typeFlags >>> 8;
  bytes[at + 4] = typeFlags;
  bytes[at + 5] = streamId >>> 24;
  bytes[at + 6] = streamId >>> 16;
  bytes[at + 7] = streamId >>> 8;
  bytes[at + 8] = streamId;
}

function beginFrame(out: OutBuffer, length: number, typeFlags: number, streamId: number): void {
  out.ensure(frameHeaderBytes + length);
  putHeader(out.bytes, out.pos, length, typeFlags, streamId);
  out.pos += frameHeaderBytes;
}

/** Writes the header of a DATA frame; its `length` bytes follow. */
export function writeDataHeader(out: OutBuffer, streamId: number, length: number, endStream: boolean): void {
  beginFrame(out, length, (frameType.data << 8) | (endStream ? flag.endStream : 0), streamId);
}

/** Leaves room for a HEADERS frame's header; `endHeaders` fills it in. Returns its offset in the pending piece. */
export function beginHeaders(out: OutBuffer): number {
  out.ensure(frameHeaderBytes + 256);
  const offset = out.pending;
  out.pos += frameHeaderBytes;
  return offset;
}

/**
 * Ends the block that began at `offset`; cuts it into CONTINUATION frames where it exceeds what every peer takes.
 * Larger frames than that gain nothing for heads.
 */
export function endHeaders(out: OutBuffer, offset: number, streamId: number, isEnd: boolean): void {
  const length = out.pending - offset - frameHeaderBytes;
  const endStream = isEnd ? flag.endStream : 0;
  const most = limits.frameBytes;
  const at = out.start + offset;
  if (length <= most) {
    const typeFlags = (frameType.headers << 8) | flag.endHeaders | endStream;
    putHeader(out.bytes, at, length, typeFlags, streamId);
    return;
  }
  const rest = Buffer.from(out.bytes.subarray(at + frameHeaderBytes + most, out.pos));
  putHeader(out.bytes, at, most, (frameType.headers << 8) | endStream, streamId);
  out.pos = at + frameHeaderBytes + most;
  for (let from = 0; from < rest.length; from += most) {
    const to = Math.min(from + most, rest.length);
    const flags = to === rest.length ? flag.endHeaders : 0;
    beginFrame(out, to - from, (frameType.continuation << 8) | flags, streamId);
    out.append(rest, from, to);
  }
}

export function writeReset(out: OutBuffer, streamId: number, code: number): void {
  beginFrame(out, 4, frameType.rstStream << 8, streamId);
  out.u32(code);
}

export function writeWindowUpdate(out: OutBuffer, streamId: number, increment: number): void {
  beginFrame(out, 4, frameType.windowUpdate << 8, streamId);
  out.u32(increment);
}

/** Writes PING, or its ACK with the eight bytes of `source` at `from`. */
export function writePing(out: OutBuffer, source: Buffer, from: number, ack: boolean): void {
  beginFrame(out, 8, (frameType.ping << 8) | (ack ? flag.ack : 0), 0);
  out.append(source, from, from + 8);
}

export function writeSettings(
  out: OutBuffer,
  entries: readonly (readonly [id: number, value: number])[],
): void {
  beginFrame(out, entries.length * 6, frameType.settings << 8, 0);
  for (const [id, value] of entries) {
    out.bytes[out.pos++] = id >>> 8;
    out.bytes[out.pos++] = id;
    out.u32(value);
  }
}

export function writeSettingsAck(out: OutBuffer): void {
  beginFrame(out, 0, (frameType.settings << 8) | flag.ack, 0);
}

/** A GOAWAY's text for people may be long; nobody reads more. */
const maxDebugBytes = 200;

/** Writes GOAWAY with a short text for whoever debugs the other side. */
export function writeGoaway(out: OutBuffer, lastStreamId: number, code: number, debug: string): void {
  const text = Buffer.from(debug.slice(0, maxDebugBytes), 'latin1');
  beginFrame(out, 8 + text.length, frameType.goaway << 8, 0);
  out.u32(lastStreamId);
  out.u32(code);
  out.append(text, 0, text.length);
}

/** A peer's text for people, shortened and only what can be printed. */
export function readText(source: Buffer, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end && text.length < maxDebugBytes; at++) {
    const code = source[at] ?? 0;
    if (code >= 0x20 && code < 0x7f) text += String.fromCharCode(code);
  }
  return text;
}

/** The unsigned 32-bit number at `at`. */
export function readU32(source: Buffer, at: number): number {
  return (
    (source[at] as number) * 0x1000000 +
    (((source[at + 1] as number) << 16) | ((source[at + 2] as number) << 8) | (source[at + 3] as number))
  );
}
