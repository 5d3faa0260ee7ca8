// hot: all frames of a turn are written into one of these.
/**
 * Bytes on their way out, appended without an allocation per frame. `take` hands a piece away for good;
 * what is left of the slab serves the next turn.
 *
 *   slab: [ taken | taken | start … pending … pos |  free          ]
 */
export class OutBuffer {
  bytes: Buffer;
  pos = 0;
  /** Where the pending piece begins. */
  start = 0;
  readonly #slabBytes: number;

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes;
    this.bytes = Buffer.allocUnsafeSlow(slabBytes);
  }

  get pending(): number {
    return this.pos - this.start;
  }

  /** Makes room for `count` more bytes; the pending piece may move. */
  ensure(count: number): void {
    if (this.pos + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const pending = this.pos - this.start;
    const next = Buffer.allocUnsafeSlow(Math.max(this.#slabBytes, (pending + count) * 2));
    this.bytes.copy(next, 0, this.start, this.pos);
    this.bytes = next;
    this.start = 0;
    this.pos = pending;
  }

  /** The pending piece, which now belongs to the caller; undefined when there is none. */
  take(): Buffer | undefined {
    if (this.pos === this.start) return undefined;
    const piece = this.bytes.subarray(this.start, this.pos);
    this.start = this.pos;
    return piece;
  }

  /** Forgets the pending piece and writes over it. */
  clear(): void {
    this.pos = this.start;
  }

  u32(value: number): void {
    const { bytes } = this;
    let { pos } = this;
    bytes[pos++] = value >>> 24;
    bytes[pos++] = value >>> 16;
    bytes[pos++] = value >>> 8;
    bytes[pos++] = value;
    this.pos = pos;
  }

  /** Copies `source[from, to)`. */
  append(source: Buffer, from: number, to: number): void {
    this.ensure(to - from);
    source.copy(this.bytes, this.pos, from, to);
    this.pos += to - from;
  }
}
