/**
 * Distinguished Encoding Rules (ITU-T X.690 §10): a strict reader for what peers send, and a writer for what we
 * sign. Only what certificates and signing requests need: definite lengths, one-byte tags.
 */
import { MeshError } from './errors.ts';

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tag `[number]` of a constructed member, as in `extensions [3] EXPLICIT`. */
export function contextTag(number: number): number {
  return 0xa0 | number;
}

/** Longest object identifier read; those of X.509 have fewer than twelve bytes. */
const maxOidBytes = 64;

export interface DerValue {
  readonly tag: number;
  /** A view of the input, not a copy. */
  readonly content: Uint8Array;
  /** Tag, length and content: what a signature covers. */
  readonly whole: Uint8Array;
}

/** Walks the members of one constructed value. Every method throws `malformed_message` where the bytes break DER. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next value, whatever its tag. */
  next(): DerValue {
    const bytes = this.#bytes;
    const start = this.#at;
    const first = bytes[start];
    if (first === undefined) throw malformed('ends too early');
    if ((first & 0x1f) === 0x1f) throw malformed('has a tag of more than one byte');
    const [length, contentAt] = readLength(bytes, start + 1);
    const end = contentAt + length;
    if (end > bytes.length) throw malformed('ends too early');
    this.#at = end;
    return { tag: first, content: bytes.subarray(contentAt, end), whole: bytes.subarray(start, end) };
  }

  /** The next value, which must have this tag. */
  expect(wanted: number): DerValue {
    const value = this.next();
    if (value.tag !== wanted)
      throw malformed(`has tag ${hexByte(value.tag)} where ${hexByte(wanted)} belongs`);
    return value;
  }

  /** The next value if it has this tag. */
  optional(wanted: number): DerValue | undefined {
    return this.#bytes[this.#at] === wanted ? this.next() : undefined;
  }

  /** A reader of the next value's members. */
  enter(wanted: number): DerReader {
    return new DerReader(this.expect(wanted).content);
  }

  /** Refuses bytes after the last member. */
  end(): void {
    if (!this.isAtEnd) throw malformed('has bytes after its end');
  }
}

/** The members of a value that is alone in `bytes`. */
export function readWhole(bytes: Uint8Array, wanted: number): DerReader {
  const outer = new DerReader(bytes);
  const inner = outer.enter(wanted);
  outer.end();
  return inner;
}

/** Dotted decimal, such as `2.5.29.17`. */
export function readOid(content: Uint8Array): string {
  if (content.length === 0 || content.length > maxOidBytes) throw malformed('has an identifier of no use');
  const arcs: number[] = [];
  let arc = 0;
  for (const [at, byte] of content.entries()) {
    if (arc === 0 && byte === 0x80) throw malformed('has a padded identifier');
    if (arc > 2 ** 40) throw malformed('has an identifier out of range');
    arc = arc * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    } else if (at === content.length - 1) throw malformed('has a broken identifier');
  }
  const [joint = 0, ...rest] = arcs;
  const first = Math.min(Math.floor(joint / 40), 2);
  return [first, joint - 40 * first, ...rest].join('.');
}

export function readBoolean(content: Uint8Array): boolean {
  const [byte] = content;
  if (content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw malformed('has a boolean that is neither');
  return byte === 0xff;
}

/** The bytes of a non-negative INTEGER without the leading zero. */
export function readUnsigned(content: Uint8Array): Uint8Array {
  const [first, second] = content;
  if (first === undefined || first >= 0x80) throw malformed('has a negative number');
  if (first !== 0 || second === undefined) return content;
  if (second < 0x80) throw malformed('has a padded number');
  return content.subarray(1);
}

export interface BitString {
  readonly bytes: Uint8Array;
  /** Bits of the last byte that do not count. */
  readonly unusedBits: number;
}

export function readBitString(content: Uint8Array): BitString {
  const [unusedBits] = content;
  const bytes = content.subarray(1);
  if (unusedBits === undefined || unusedBits > 7 || (bytes.length === 0 && unusedBits > 0))
    throw malformed('has a broken bit string');
  const last = bytes.at(-1) ?? 0;
  if ((last & ((1 << unusedBits) - 1)) !== 0) throw malformed('has a bit string with stray bits');
  return { bytes, unusedBits };
}

/** Milliseconds since 1970 of a UTCTime or GeneralizedTime in the form of RFC 5280 §4.1.2.5: whole seconds, `Z`. */
export function readTime(value: DerValue): number {
  const text = Buffer.from(value.content).toString('latin1');
  const full = value.tag === tag.utcTime ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text;
  const isTime = value.tag === tag.utcTime || value.tag === tag.generalizedTime;
  if (!isTime || !/^\d{14}Z$/.test(full)) throw malformed('has a time of another form');
  const part = (from: number, to: number) => Number(full.slice(from, to));
  const [month, day, hour, minute, second] = [
    part(4, 6),
    part(6, 8),
    part(8, 10),
    part(10, 12),
    part(12, 14),
  ];
  const ms = Date.UTC(part(0, 4), month - 1, day, hour, minute, second);
  const isReal = new Date(ms).toISOString().replace(/[-T:]|\.000/g, '') === full;
  if (!isReal) throw malformed('has a time that does not exist');
  return ms;
}

/** One value: tag, minimal length, the parts joined. */
export function encode(valueTag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([valueTag]), encodeLength(content.length), content]);
}

export function encodeOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const group = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      group.unshift((left & 0x7f) | 0x80);
    bytes.push(...group);
  }
  return encode(tag.oid, Buffer.from(bytes));
}

/** A non-negative INTEGER from its big-endian bytes. */
export function encodeUnsigned(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const needsZero = (bytes[start] ?? 0) >= 0x80 || bytes.length === 0;
  return encode(tag.integer, Buffer.from(needsZero ? [0] : []), bytes.subarray(start));
}

/** A BIT STRING of whole bytes. */
export function encodeBits(bytes: Uint8Array): Buffer {
  return encode(tag.bitString, Buffer.from([0]), bytes);
}

function readLength(bytes: Uint8Array, at: number): readonly [length: number, contentAt: number] {
  const first = bytes[at];
  if (first === undefined) throw malformed('ends too early');
  if (first < 0x80) return [first, at + 1];
  const count = first & 0x7f;
  if (count === 0 || count > 4) throw malformed('has a length of another form');
  let length = 0;
  for (let i = 1; i <= count; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw malformed('ends too early');
    length = length * 256 + byte;
  }
  if (length < 0x80 || length < 256 ** (count - 1)) throw malformed('has a padded length');
  return [length, at + 1 + count];
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) bytes.unshift(left & 0xff);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

function malformed(what: string): MeshError {
  return new MeshError('malformed_message', `DER ${what}`, { origin: 'downstream' });
}

function hexByte(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
