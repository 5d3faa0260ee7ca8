// hot: every read.
/**
 * All sockets read into one buffer of the process, and what came is copied out of it. By default Node makes
 * a buffer of 64 KiB outside the heap for every read, cuts it down to what came and passes it through a stream's
 * machinery, which together cost more than a small copy (docs/adr/0017-what-the-path-costs.md). A large copy costs
 * more than a buffer, so a socket that fills the shared one gets buffers of its own, which are handed on as they are.
 *
 *   shared ──a read fills it──▶ own ──a read leaves most of it empty──▶ shared
 *
 * Node offers this as `onread`, for sockets that it dials for us. An accepted socket gets the same by the same three
 * fields, whose names are learned from a socket made with `onread`; where a Node has others, reads stay as they are.
 */
import { Buffer } from 'node:buffer';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';

/** One read takes at most so much. */
const readBytes = 64 * 1024;
/** From here on a socket's own buffer is handed on; what is less is copied. */
const handOverBytes = readBytes / 4;
/** Buffers that wait for their socket's next read, of all sockets together. */
const maxOwnBuffers = 64;
/** Copies up to here are cut from a slab; larger ones stand alone, so that one that is kept holds nothing else. */
const slabPieceBytes = 1024;
const slabBytes = 4 * 1024;

const shared = Buffer.allocUnsafeSlow(readBytes);
let slab = Buffer.allocUnsafeSlow(slabBytes);
let slabAt = 0;
let ownBuffers = 0;

/** Gets what a socket read, as a buffer of its own. */
export interface Reader {
  received(chunk: Buffer): void;
}

/**
 * Has what `socket` reads from now on given to `reader` in place of 'data'; nothing changes where Node offers no way.
 * What waits in the socket's stream still comes as 'data'.
 */
export function readIntoShared(socket: Socket, reader: Reader): void {
  const handle = (socket as WithHandle)._handle;
  if (fields === undefined || handle?.useUserBuffer === undefined) return;
  const inner = innerOf(socket);
  inner[fields.buffer] = shared;
  inner[fields.callback] = onRead;
  inner[readerField] = reader;
  handle.useUserBuffer(shared);
}

/** The socket is gone: the buffer that it may have had is no longer counted. */
export function endReading(socket: Socket): void {
  if (fields === undefined) return;
  const inner = innerOf(socket);
  if (inner[readerField] === undefined) return;
  if (inner[fields.buffer] !== shared) ownBuffers--;
  inner[fields.buffer] = shared;
}

/** Stops what comes to the reader, as a stream does it: what is read meanwhile waits in the stream, up to its mark. */
export function pauseReading(socket: Socket): void {
  // The socket's own `pause` would stop the handle at once, and each short pause cost a turn of the loop.
  Readable.prototype.pause.call(socket);
}

/** Called by Node with the socket as `this`; then it asks the field `next`, where it is set, for another buffer. */
function onRead(this: Socket, size: number, buffer: Buffer): boolean {
  const { next } = fields as Fields;
  const inner = innerOf(this);
  let chunk: Buffer;
  if (buffer === shared) {
    if (size < readBytes || ownBuffers >= maxOwnBuffers) inner[next] = null;
    else {
      ownBuffers++;
      inner[next] = newBuffer;
    }
    chunk = copyOf(shared, size);
  } else if (size >= handOverBytes) {
    inner[next] = newBuffer;
    chunk = size === readBytes ? buffer : buffer.subarray(0, size);
  } else {
    ownBuffers--;
    inner[next] = sharedBuffer;
    chunk = copyOf(buffer, size);
  }
  if (this.isPaused() || this.readableLength > 0) return this.push(chunk);
  (inner[readerField] as Reader).received(chunk);
  return true;
}

function newBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(readBytes);
}

function sharedBuffer(): Buffer {
  return shared;
}

function copyOf(buffer: Buffer, size: number): Buffer {
  if (size > slabPieceBytes) {
    const alone = Buffer.allocUnsafeSlow(size);
    buffer.copy(alone, 0, 0, size);
    return alone;
  }
  if (slabAt + size > slabBytes) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    slabAt = 0;
  }
  const from = slabAt;
  slabAt += size;
  buffer.copy(slab, from, 0, size);
  return slab.subarray(from, slabAt);
}

interface WithHandle {
  readonly _handle?: { useUserBuffer?(buffer: Buffer): void } | null;
}

const readerField = Symbol('reader');

function innerOf(socket: Socket): Record<symbol, unknown> {
  return socket as unknown as Record<symbol, unknown>;
}

/** Where a socket keeps what `onread` said. */
interface Fields {
  readonly buffer: symbol;
  readonly callback: symbol;
  /** A function that gives the next buffer, or null. */
  readonly next: symbol;
}

const fields = findFields();

function findFields(): Fields | undefined {
  const buffer = (): Buffer => shared;
  const callback = (): boolean => true;
  // With a function for its buffer Node keeps that as the one for the next, and `true` in place of the first.
  const inner = innerOf(new Socket({ onread: { buffer, callback } }));
  const plain = innerOf(new Socket({ onread: { buffer: shared, callback } }));
  const nameOf = (of: Record<symbol, unknown>, value: unknown) =>
    Object.getOwnPropertySymbols(of).find((name) => of[name] === value);
  const names = [nameOf(plain, shared), nameOf(plain, callback), nameOf(inner, buffer)];
  const [ofBuffer, ofCallback, ofNext] = names;
  if (ofBuffer === undefined || ofCallback === undefined || ofNext === undefined) return undefined;
  return { buffer: ofBuffer, callback: ofCallback, next: ofNext };
}
