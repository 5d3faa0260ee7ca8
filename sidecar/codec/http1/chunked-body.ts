// hot: every chunk of a chunked body.
/**
 * The chunked coding: RFC 9112 §7.1. Strict: sizes are hexadecimal digits and nothing else, lines end with CRLF,
 * extensions are checked, counted and dropped.
 */
import type { Field } from '../field.ts';
import type { FieldMemo } from '../field-memo.ts';
import {
  backslash,
  cr,
  equals,
  hexValue,
  lf,
  quote,
  quotedByte,
  semicolon,
  space,
  tab,
  tokenByte,
} from './chars.ts';
import { isTrailerName } from './connection-options.ts';
import { FieldLines } from './field-lines.ts';
import { HeadCarry } from './head-carry.ts';
import { limits } from './limits.ts';
import { Refusal } from './refusal.ts';

/**
 * Where in the coding the next byte stands. `ext_…` are the parts of a chunk extension: `;name=value`, `;name`,
 * `;name="quoted"`, with blanks before `;`, around the name and around `=`.
 */
type State =
  | 'size'
  | 'ext_before'
  | 'ext_name_start'
  | 'ext_name'
  | 'ext_name_after'
  | 'ext_value_start'
  | 'ext_value'
  | 'ext_quoted'
  | 'ext_escape'
  | 'ext_quoted_after'
  | 'size_lf'
  | 'data'
  | 'data_cr'
  | 'data_lf'
  | 'trailers'
  | 'end';

export interface ChunkSink {
  /** A part of the body, never empty. */
  onBodyData(data: Buffer): void;
}

const trailerLimits = () => ({ maxBytes: limits.maxTrailerBytes, startLine: false, maxEmptyLines: 0 });

export class ChunkedBody {
  /** Trailers that may be passed on; set when the body has ended and there were any. */
  trailers: readonly Field[] | undefined = undefined;
  readonly #memo: FieldMemo;
  #state: State = 'size';
  #size = 0;
  #digits = 0;
  #lineBytes = 0;
  #extensionBytes = 0;
  #carry: HeadCarry | undefined = undefined;

  constructor(memo: FieldMemo) {
    this.#memo = memo;
  }

  get isEnded(): boolean {
    return this.#state === 'end';
  }

  /** Takes bytes from `start` on until they or the body end; returns the position it came to. Throws a `Refusal`. */
  feed(bytes: Buffer, start: number, sink: ChunkSink): number {
    const end = bytes.length;
    let at = start;
    while (at < end && this.#state !== 'end') {
      if (this.#state === 'data') at = this.#data(bytes, at, sink);
      else if (this.#state === 'trailers') at = this.#trailers(bytes, at);
      else this.#framing(bytes[at++] as number);
    }
    return at;
  }

  #data(bytes: Buffer, at: number, sink: ChunkSink): number {
    const to = Math.min(bytes.length, at + this.#size);
    this.#size -= to - at;
    if (this.#size === 0) this.#state = 'data_cr';
    sink.onBodyData(bytes.subarray(at, to));
    return to;
  }

  #framing(byte: number): void {
    switch (this.#state) {
      case 'size':
        this.#sizeDigit(byte);
        break;
      case 'size_lf':
        expect(byte, lf, 'chunk size line');
        this.#state = this.#size === 0 ? 'trailers' : 'data';
        break;
      case 'data_cr':
        expect(byte, cr, 'chunk data is longer than its size');
        this.#state = 'data_lf';
        break;
      case 'data_lf':
        expect(byte, lf, 'chunk data does not end with CRLF');
        this.#state = 'size';
        this.#size = 0;
        this.#digits = 0;
        this.#lineBytes = 0;
        break;
      default:
        this.#extension(byte);
    }
  }

  #sizeDigit(byte: number): void {
    const digit = hexValue[byte] as number;
    if (digit !== 255) {
      if (++this.#digits > limits.maxChunkSizeDigits) throw new Refusal(400, 'chunk size too long');
      this.#size = this.#size * 16 + digit;
    } else if (this.#digits === 0) throw new Refusal(400, 'chunk size');
    else if (byte === cr) this.#state = 'size_lf';
    else {
      this.#state = 'ext_before';
      this.#extension(byte);
    }
  }

  #extension(byte: number): void {
    if (++this.#lineBytes > limits.maxChunkLineBytes) throw new Refusal(400, 'chunk size line too long');
    if (++this.#extensionBytes > limits.maxExtensionBytes)
      throw new Refusal(400, 'too many chunk extensions');
    const next = afterExtensionByte(this.#state, byte);
    if (next === undefined) throw new Refusal(400, 'chunk extension');
    this.#state = next;
  }

  #trailers(bytes: Buffer, at: number): number {
    // Nearly always the empty line alone.
    if (this.#carry === undefined && bytes[at] === cr && bytes[at + 1] === lf) {
      this.#state = 'end';
      return at + 2;
    }
    this.#carry ??= new HeadCarry(trailerLimits());
    const end = this.#carry.add(bytes, at);
    if (end < 0) return bytes.length;
    const lines = new FieldLines(this.#memo, limits.maxTrailerFields);
    if (lines.parse(this.#carry.bytes, 0) < 0) throw new Refusal(400, 'trailer section');
    const allowed = lines.fields.filter((field) => isTrailerName(field.name));
    if (allowed.length > 0) this.trailers = allowed;
    this.#carry = undefined;
    this.#state = 'end';
    return end;
  }
}

function expect(byte: number, expected: number, message: string): void {
  if (byte !== expected) throw new Refusal(400, message);
}

/** The state after one byte of an extension, or undefined where it may not stand. */
function afterExtensionByte(state: State, byte: number): State | undefined {
  const isBlank = byte === space || byte === tab;
  switch (state) {
    case 'ext_before':
      return byte === semicolon ? 'ext_name_start' : ifTrue(isBlank, state);
    case 'ext_name_start':
      return isToken(byte) ? 'ext_name' : ifTrue(isBlank, state);
    case 'ext_name':
    case 'ext_name_after':
      return afterName(state, byte, isBlank);
    case 'ext_value_start':
      if (byte === quote) return 'ext_quoted';
      return isToken(byte) ? 'ext_value' : ifTrue(isBlank, state);
    case 'ext_value':
      return isToken(byte) ? state : afterValue(byte, isBlank);
    case 'ext_quoted_after':
      return afterValue(byte, isBlank);
    default:
      return insideQuotes(state, byte);
  }
}

function ifTrue(condition: boolean, state: State): State | undefined {
  return condition ? state : undefined;
}

/** After blanks only `=` or `;` may come: blanks may not stand before CRLF. */
function afterName(state: State, byte: number, isBlank: boolean): State | undefined {
  if (byte === equals) return 'ext_value_start';
  if (isBlank) return 'ext_name_after';
  if (state === 'ext_name_after') return byte === semicolon ? 'ext_name_start' : undefined;
  return isToken(byte) ? 'ext_name' : afterValue(byte, false);
}

function afterValue(byte: number, isBlank: boolean): State | undefined {
  if (byte === semicolon) return 'ext_name_start';
  if (byte === cr) return 'size_lf';
  return isBlank ? 'ext_before' : undefined;
}

function insideQuotes(state: State, byte: number): State | undefined {
  const isEscaped = state === 'ext_escape';
  if (byte === quote && !isEscaped) return 'ext_quoted_after';
  if (byte === backslash && !isEscaped) return 'ext_escape';
  return quotedByte[byte] === 1 || byte === quote || byte === backslash ? 'ext_quoted' : undefined;
}

function isToken(byte: number): boolean {
  return tokenByte[byte] === 1;
}
