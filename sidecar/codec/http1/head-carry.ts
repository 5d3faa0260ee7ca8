/**
 * A head (or trailer section) that comes in several chunks: kept until it is complete, every byte looked at once.
 * What can never become a head (bare CR or LF, control characters, over a limit) is refused at once, so a client
 * that sends garbage without a line end does not wait for the timer.
 */
import { cr, lf, tab } from './chars.ts';
import { limits } from './limits.ts';
import { Refusal } from './refusal.ts';

const firstBytes = 1024;

export interface CarryLimits {
  readonly maxBytes: number;
  /** A head has a start line, a trailer section has none. */
  readonly startLine: boolean;
  /** Before a start line. */
  readonly maxEmptyLines: number;
}

export class HeadCarry {
  readonly #limits: CarryLimits;
  #bytes = Buffer.allocUnsafeSlow(firstBytes);
  #size = 0;
  #lineStart = 0;
  #lines = 0;
  #emptyLines: number;

  /** `emptyLines`: how many were skipped already. */
  constructor(limits: CarryLimits, emptyLines = 0) {
    this.#limits = limits;
    this.#emptyLines = emptyLines;
  }

  /** What came so far, without empty lines before it. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  /** The lines that are complete so far. */
  get completeLines(): Buffer {
    return this.#bytes.subarray(0, this.#lineStart);
  }

  /** Whether what came so far begins with these bytes. */
  beginsWith(bytes: Buffer): boolean {
    return this.#bytes.subarray(0, Math.min(this.#size, bytes.length)).equals(bytes);
  }

  /** How many those are. */
  get lineCount(): number {
    return this.#lines;
  }

  /** Takes bytes from `at` on; returns the position after the section where it became complete, else -1. */
  add(bytes: Buffer, at: number): number {
    for (let i = at; i < bytes.length; i++) {
      if (this.#isComplete(bytes[i] as number)) return i + 1;
    }
    return -1;
  }

  #isComplete(byte: number): boolean {
    const wasCr = this.#size > this.#lineStart && this.#bytes[this.#size - 1] === cr;
    this.#push(byte);
    if (byte === lf) {
      if (!wasCr) throw new Refusal(400, 'bare LF');
      return this.#endsLine();
    }
    if (wasCr) throw new Refusal(400, 'bare CR');
    if ((byte < 0x20 && byte !== tab && byte !== cr) || byte === 0x7f) {
      throw new Refusal(400, 'control character in a head');
    }
    return false;
  }

  #endsLine(): boolean {
    const isEmpty = this.#size - this.#lineStart === 2;
    this.#lineStart = this.#size;
    if (!isEmpty) {
      // One more than the fields, for the start line.
      if (++this.#lines > limits.maxFields + 1) throw new Refusal(431, 'too many fields');
      return false;
    }
    if (this.#lines > 0 || !this.#limits.startLine) return true;
    if (++this.#emptyLines > this.#limits.maxEmptyLines)
      throw new Refusal(400, 'empty lines before a message');
    this.#size = 0;
    this.#lineStart = 0;
    return false;
  }

  #push(byte: number): void {
    if (this.#size === this.#limits.maxBytes) throw new Refusal(431, `more than ${this.#size} bytes`);
    if (
      this.#limits.startLine &&
      this.#lines === 0 &&
      this.#size - this.#lineStart >= limits.maxStartLineBytes
    ) {
      throw new Refusal(414, `start line longer than ${limits.maxStartLineBytes} bytes`);
    }
    if (this.#size === this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#size * 2, this.#limits.maxBytes));
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    this.#bytes[this.#size++] = byte;
  }
}
