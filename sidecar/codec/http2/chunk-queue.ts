// hot: one per stream with a body.
import { ownCopy } from '../own-copy.ts';

/** So many times its own bytes a chunk may keep from being freed. */
const mostKept = 1.25;
/** The blocks of copies: the first, and later ones; larger for a larger chunk. */
const leastBlockBytes = 4096;
const mostBlockBytes = 8192;

/**
 * Chunks in order. Most bodies are one chunk, so the first has a place of its own and costs no array.
 *
 *   first · rest[restAt] · … · rest[last]      the last may be a view of `block`, which has room behind it
 */
export class ChunkQueue {
  bytes = 0;
  #first: Buffer | undefined = undefined;
  #rest: (Buffer | undefined)[] | undefined = undefined;
  #restAt = 0;
  /** Where the last chunk lies if it was copied, and how many of its bytes are written. */
  #block: Buffer | undefined = undefined;
  #blockUsed = 0;

  push(chunk: Buffer): void {
    this.#block = undefined;
    this.bytes += chunk.length;
    this.#append(chunk);
  }

  /**
   * The same with a copy, for a small chunk that has to wait: a view would keep the whole read buffer that it came in,
   * and many of them an object each.
   */
  pushCopy(chunk: Buffer): void {
    this.bytes += chunk.length;
    const at = this.#block === undefined ? 0 : this.#extendLast(this.#block, chunk);
    if (at < chunk.length) this.#beginBlock(chunk, at);
  }

  /**
   * Copies what keeps much more from being freed than it carries, for chunks that have been here for a while: most
   * are gone soon, and copying them all would cost a third of the path of a large body.
   */
  compact(): void {
    const rest = this.#rest;
    if (this.#first !== undefined) this.#first = this.#compacted(this.#first);
    if (rest === undefined) return;
    for (let i = this.#restAt; i < rest.length; i++) rest[i] = this.#compacted(rest[i] as Buffer);
  }

  get first(): Buffer | undefined {
    return this.#first;
  }

  /** Removes the first `count` bytes of the first chunk. */
  consume(count: number): void {
    const chunk = this.#first;
    if (chunk === undefined) return;
    this.bytes -= count;
    if (count < chunk.length) {
      this.#first = chunk.subarray(count);
      return;
    }
    const rest = this.#rest;
    if (rest === undefined) {
      this.#first = undefined;
      this.#block = undefined;
      return;
    }
    this.#first = rest[this.#restAt];
    // A queue that never runs empty would otherwise keep what was taken from it.
    rest[this.#restAt++] = undefined;
    if (this.#restAt >= rest.length) {
      this.#rest = undefined;
      this.#restAt = 0;
    } else if (this.#restAt >= 256) {
      rest.splice(0, this.#restAt);
      this.#restAt = 0;
    }
  }

  clear(): void {
    this.bytes = 0;
    this.#first = undefined;
    this.#rest = undefined;
    this.#restAt = 0;
    this.#block = undefined;
  }

  #compacted(chunk: Buffer): Buffer {
    const kept = chunk.buffer;
    if (kept.byteLength <= chunk.length * mostKept || kept === this.#block?.buffer) return chunk;
    return ownCopy(chunk, 0, chunk.length);
  }

  #append(chunk: Buffer): void {
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#rest === undefined) this.#rest = [chunk];
    else this.#rest.push(chunk);
  }

  /** Writes what fits of `chunk` behind the last one, and returns how much that was. */
  #extendLast(block: Buffer, chunk: Buffer): number {
    const count = chunk.copy(block, this.#blockUsed);
    if (count === 0) return 0;
    const rest = this.#rest;
    const last = (rest === undefined ? this.#first : rest[rest.length - 1]) as Buffer;
    const longer = block.subarray(this.#blockUsed - last.length, this.#blockUsed + count);
    this.#blockUsed += count;
    if (rest === undefined) this.#first = longer;
    else rest[rest.length - 1] = longer;
    return count;
  }

  #beginBlock(chunk: Buffer, from: number): void {
    const left = chunk.length - from;
    // Who holds much will hold more; who holds a few bytes gets a small block.
    const room = Math.min(Math.max(this.bytes, leastBlockBytes), mostBlockBytes);
    const block = Buffer.allocUnsafeSlow(Math.max(left, room));
    chunk.copy(block, 0, from);
    this.#append(block.subarray(0, left));
    this.#block = block;
    this.#blockUsed = left;
  }
}
