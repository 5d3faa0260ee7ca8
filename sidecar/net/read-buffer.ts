// hot: every small read.
/**
 * Connections that carry small messages read into one buffer of the process, and what came is copied out of it. By
 * default Node makes a buffer of 64 KiB outside the heap for every read, cuts it down to what came and passes it through
 * a stream's machinery, which together cost more than a small copy. Large bodies are better off with that default, so
 * only a connection that has shown small reads is moved (docs/adr/0017-what-the-path-costs.md); there is no way back.
 *
 * Node offers this as `onread`, for sockets that it dials for us. All others get the same by the same two fields, whose
 * names are learned from a socket made with `onread`; where a Node has others, reads stay as they are.
 */
import { Buffer } from 'node:buffer';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { noteReadBuffer } from './read-garbage.ts';

/** A read up to here is a small one. */
export const smallReadBytes = 4096;
/** So many small reads in a row show what a connection carries. */
export const readsBeforeShared = 8;
/** One read takes at most so much. */
const sharedBytes = 64 * 1024;
/** Copies up to here are cut from a slab; larger ones stand alone, so that one that is kept holds nothing else. */
const slabPieceBytes = 1024;
const slabBytes = 4 * 1024;

const shared = Buffer.allocUnsafeSlow(sharedBytes);
let slab = Buffer.allocUnsafeSlow(slabBytes);
let slabAt = 0;

/** Gets what a socket read, as a buffer of its own. */
export interface Reader {
  received(chunk: Buffer): void;
}

/**
 * Has what `socket` reads from now on given to `reader` in place of 'data'; nothing changes where Node offers no way.
 * What waits in the socket's stream still comes as 'data'. Calling it twice is harmless.
 */
export function readIntoShared(socket: Socket, reader: Reader): void {
  const inner = socket as unknown as Inner;
  const handle = inner._handle;
  if (fields === undefined || handle?.useUserBuffer === undefined || inner[readerField] !== undefined) return;
  inner[readerField] = reader;
  inner[fields.buffer] = shared;
  inner[fields.callback] = onRead;
  handle.useUserBuffer(shared);
}

/** Stops what comes to the reader, as a stream does it: what is read meanwhile waits in the stream, up to its mark. */
export function pauseReading(socket: Socket): void {
  // The socket's own `pause` would stop the handle at once, and each short pause cost a turn of the loop.
  Readable.prototype.pause.call(socket);
}

/** Called by Node with the socket as `this`; false stops the reading. */
function onRead(this: Socket, size: number): boolean {
  const chunk = copyOf(size);
  if (this.isPaused() || this.readableLength > 0) return this.push(chunk);
  ((this as unknown as Inner)[readerField] as Reader).received(chunk);
  return true;
}

/** The first bytes of the shared buffer. */
function copyOf(size: number): Buffer {
  if (size > slabPieceBytes) {
    noteReadBuffer(size);
    const alone = Buffer.allocUnsafeSlow(size);
    shared.copy(alone, 0, 0, size);
    return alone;
  }
  if (slabAt + size > slabBytes) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    slabAt = 0;
  }
  const from = slabAt;
  slabAt += size;
  shared.copy(slab, from, 0, size);
  return slab.subarray(from, slabAt);
}

const readerField = Symbol('reader');

interface Inner {
  readonly _handle?: { useUserBuffer?(buffer: Buffer): void } | null;
  [readerField]?: Reader;
  [field: symbol]: unknown;
}

/** Where a socket keeps what `onread` said. */
const fields = findFields();

function findFields(): { readonly buffer: symbol; readonly callback: symbol } | undefined {
  const sample = new Socket({ onread: { buffer: shared, callback: onRead } });
  const values = sample as unknown as Inner;
  const names = Object.getOwnPropertySymbols(sample);
  const buffer = names.find((name) => values[name] === shared);
  const callback = names.find((name) => values[name] === onRead);
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback };
}
