// hot: every read of a connection in use.
/**
 * Where connections read to. By default Node makes a buffer outside the heap for every read and passes it through a
 * stream's machinery, which costs more than a small copy. So a connection in use reads into one buffer of the process,
 * and what came is copied out of it. One that shows large reads gets a buffer of its own, unless enough others have
 * one, and hands it on as it is for a new one; with the next small read it is back at the one for all
 * (docs/adr/0017-what-the-path-costs.md).
 *
 * Node offers this as `onread`, for sockets that it dials for us. All others get the same by the same fields, whose
 * names are learned from sockets made with `onread`; where a Node has others, reads stay as they are.
 */
import { Buffer } from 'node:buffer';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { noteReadBuffer } from './read-garbage.ts';
import { belowOf } from './tls-cut.ts';

/** After so many reads a connection is in use: many never get there, and theirs stay with Node. */
export const readsBeforeTaken = 8;
/** A read up to here is a small one. */
const smallReadBytes = 4096;
/** One read takes at most so much. */
const sharedBytes = 64 * 1024;
/** TLS gives a record at a time. */
const recordBytes = 16 * 1024;
/** A read that fills so much of a buffer is handed on in it: whoever keeps it keeps little else. */
const filledShare = 0.5;
/** Connections with a buffer of their own, which they keep while they are idle. */
export const maxOwners = 128;
/** Copies up to here are cut from a slab; larger ones stand alone, so that one that is kept holds nothing else. */
const slabPieceBytes = 1024;
const slabBytes = 4 * 1024;

const shared = Buffer.allocUnsafeSlow(sharedBytes);
let slab = Buffer.allocUnsafeSlow(slabBytes);
let slabAt = 0;
let owners = 0;

/** Gets what a socket read, as a buffer of its own. */
export interface Reader {
  received(chunk: Buffer): void;
}

/**
 * Has what `socket` reads from now on given to `reader` in place of 'data'; nothing changes where Node offers no way.
 * What waits in the socket's stream still comes as 'data'. Calling it twice is harmless.
 */
export function takeReads(socket: Socket, reader: Reader): void {
  const inner = socket as unknown as Inner;
  const handle = inner._handle;
  if (fields === undefined || handle?.useUserBuffer === undefined || inner[readerField] !== undefined) return;
  inner[readerField] = reader;
  inner[fields.buffer] = shared;
  inner[fields.callback] = onRead;
  inner[fields.next] = giveNext;
  handle.useUserBuffer(shared);
}

/** The socket is closed: its buffer is free for another. */
export function leaveReads(socket: Socket): void {
  const inner = socket as unknown as Inner;
  if (fields === undefined || inner[readerField] === undefined || inner[fields.buffer] === shared) return;
  inner[fields.buffer] = shared;
  owners--;
}

/** Stops what comes to the reader, as a stream does it: what is read meanwhile waits in the stream, up to its mark. */
export function pauseReading(socket: Socket): void {
  // The socket's own `pause` would stop the handle at once, and each short pause cost a turn of the loop.
  Readable.prototype.pause.call(socket);
}

/** What the socket whose read is at hand reads into next, if it changes. */
let next: Buffer | undefined;

/** Called by Node after `onRead`, with nothing that says for whom. */
function giveNext(): Buffer | undefined {
  const given = next;
  next = undefined;
  return given;
}

/** Called by Node with the socket as `this`; false stops the reading. */
function onRead(this: Socket, size: number, buffer: Buffer): boolean {
  let chunk: Buffer;
  let following: Buffer | undefined;
  if (buffer === shared) {
    chunk = copyOf(shared, size);
    const ownBytes = belowOf(this) === undefined ? sharedBytes : recordBytes;
    if (size >= ownBytes * filledShare && owners < maxOwners) {
      owners++;
      following = newOwn(ownBytes);
    }
  } else if (size >= buffer.length * filledShare) {
    chunk = size === buffer.length ? buffer : buffer.subarray(0, size);
    following = newOwn(buffer.length);
  } else {
    chunk = copyOf(buffer, size);
    if (size <= smallReadBytes) {
      owners--;
      following = shared;
    }
  }
  let goesOn = true;
  if (this.isPaused() || this.readableLength > 0) goesOn = this.push(chunk);
  else ((this as unknown as Inner)[readerField] as Reader).received(chunk);
  // Not before: the reader may make others read.
  next = following;
  return goesOn;
}

function newOwn(size: number): Buffer {
  noteReadBuffer(size);
  return Buffer.allocUnsafeSlow(size);
}

/** The first bytes of `buffer`. */
function copyOf(buffer: Buffer, size: number): Buffer {
  if (size > slabPieceBytes) {
    noteReadBuffer(size);
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

const readerField = Symbol('reader');

interface Inner {
  readonly _handle?: { useUserBuffer?(buffer: Buffer): void } | null;
  [readerField]?: Reader;
  [field: symbol]: unknown;
}

interface Fields {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly next: symbol;
}

/** Where a socket keeps what `onread` said. */
const fields = findFields();

function findFields(): Fields | undefined {
  const fixed = new Socket({ onread: { buffer: shared, callback: onRead } });
  // What is no buffer means the same again.
  const changing = new Socket({ onread: { buffer: giveNext as () => Buffer, callback: onRead } });
  const buffer = fieldWith(fixed, shared);
  const callback = fieldWith(fixed, onRead);
  const next = fieldWith(changing, giveNext);
  if (buffer === undefined || callback === undefined || next === undefined) return undefined;
  return { buffer, callback, next };
}

function fieldWith(socket: Socket, value: unknown): symbol | undefined {
  const inner = socket as unknown as Inner;
  return Object.getOwnPropertySymbols(socket).find((name) => inner[name] === value);
}
