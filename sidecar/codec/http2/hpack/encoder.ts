// hot: one call per field that is sent.
/**
 * HPACK encoding (RFC 7541) with a dynamic table that fills itself with what repeats.
 *
 * A line enters the table when it is seen the second time, so what differs from request to request never
 * drives out what repeats; a memoised field has been seen before. Memoised fields (`Field.slot`) find their entry by two array reads; all others
 * by their line. Secrets are never indexed (§7.1.3); ids that are new each time only have their name indexed.
 * Entries are known by the number of their insertion: `index = 62 + newest - number`.
 */
import { type Field, fieldKind, neverIndexedSlot } from '../../field.ts';
import { secretNames } from '../../field-memo.ts';
import '../latin1.ts';
import { limits } from '../limits.ts';
import type { OutBuffer } from '../out-buffer.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';
import { staticCount, staticTable } from './static-table.ts';

/** First bits of a literal (RFC 7541 §6.2) and the mask of its index. */
const incremental = 0x40;
const plain = 0x00;
const neverIndexed = 0x10;

/** Cookies shorter than this could be guessed byte by byte. */
const guessableCookieBytes = 20;
/** Strings shorter than this are copied by a loop: a call into the runtime costs more. */
const loopBelow = 24;
/** In the memo: seen once, not in the table. */
const seenOnce = 0;

const staticNames = new Map<string, number>();
/** Whole lines of the static table, negative so that they differ from numbers of insertion. */
const staticLines = new Map<string, number>();
staticTable.forEach(([name, value], i) => {
  if (!staticNames.has(name)) staticNames.set(name, i + 1);
  if (value !== '') staticLines.set(`${name}: ${value}\r\n`, -(i + 1));
});

const nameIndex = {
  authority: 1,
  method: 2,
  path: 4,
  scheme: 6,
  status: 8,
  contentLength: 28,
} as const;

export interface HpackEncoderOptions {
  /** The table's size, whatever the peer offers beyond. */
  readonly maxTableBytes: number;
  /** Whether literals that are sent once are Huffman-coded: fewer bytes for more CPU. */
  readonly compact: boolean;
}

export class HpackEncoder {
  readonly #cap: number;
  readonly #compact: boolean;
  /** Table: sizes of the entries by number of insertion, in a ring. */
  readonly #sizes: Int32Array;
  readonly #sizeMask: number;
  #inserted = 0;
  #live = 0;
  #size = 0;
  #maxBytes: number;
  /** Smallest size since the last block, where a size update is due (§4.2), else -1. */
  #lowestUpdate = -1;

  #fieldBySlot: (Field | undefined)[] = [];
  #numberBySlot = new Int32Array(256);
  readonly #byLine = new Map<string, number>();
  readonly #byMethod = new Map<string, number>();
  readonly #byPath = new Map<string, number>();
  readonly #byAuthority = new Map<string, number>();
  readonly #byStatus = new Map<number, number>();
  readonly #byLength = new Map<number, number>();
  /** Newest entry with a name that the static table lacks. */
  readonly #byName = new Map<string, number>();

  constructor(options: HpackEncoderOptions) {
    this.#cap = options.maxTableBytes;
    this.#compact = options.compact;
    this.#maxBytes = Math.min(options.maxTableBytes, limits.plainTableBytes);
    let ring = 64;
    while (ring < options.maxTableBytes / limits.fieldOverheadBytes) ring *= 2;
    this.#sizes = new Int32Array(ring);
    this.#sizeMask = ring - 1;
  }

  /** Bytes in the dynamic table, as RFC 7541 §4.1 counts them. */
  get tableBytes(): number {
    return this.#size;
  }

  /**
   * Takes the peer's SETTINGS_HEADER_TABLE_SIZE and the smallest that it named before; the next block tells it what we
   * use.
   */
  setPeerTableSize(bytes: number, least = bytes): void {
    this.#resize(Math.min(least, this.#cap));
    this.#resize(Math.min(bytes, this.#cap));
  }

  #resize(next: number): void {
    if (next === this.#maxBytes) return;
    this.#lowestUpdate = this.#lowestUpdate === -1 ? next : Math.min(this.#lowestUpdate, next);
    this.#maxBytes = next;
    this.#evict(next);
  }

  /** Begins a block. */
  begin(out: OutBuffer): void {
    if (this.#lowestUpdate === -1) return;
    out.ensure(16);
    if (this.#lowestUpdate < this.#maxBytes) writeInteger(out, 0x20, 0x1f, this.#lowestUpdate);
    writeInteger(out, 0x20, 0x1f, this.#maxBytes);
    this.#lowestUpdate = -1;
  }

  method(out: OutBuffer, method: string): void {
    if (method === 'GET') this.#indexed(out, 2);
    else if (method === 'POST') this.#indexed(out, 3);
    else this.#pseudo(out, this.#byMethod, method, nameIndex.method, method);
  }

  scheme(out: OutBuffer, scheme: string): void {
    this.#indexed(out, scheme === 'https' ? 7 : 6);
  }

  authority(out: OutBuffer, authority: string): void {
    this.#pseudo(out, this.#byAuthority, authority, nameIndex.authority, authority);
  }

  path(out: OutBuffer, path: string): void {
    if (path === '/') this.#indexed(out, 4);
    else this.#pseudo(out, this.#byPath, path, nameIndex.path, path);
  }

  protocol(out: OutBuffer, protocol: string): void {
    this.#literal(out, plain, 0, ':protocol', protocol);
  }

  status(out: OutBuffer, status: number): void {
    const index = staticStatus(status);
    if (index !== 0) this.#indexed(out, index);
    else this.#number(out, this.#byStatus, status, nameIndex.status, ':status');
  }

  contentLength(out: OutBuffer, length: number): void {
    this.#number(out, this.#byLength, length, nameIndex.contentLength, 'content-length');
  }

  field(out: OutBuffer, field: Field): void {
    const { slot } = field;
    if (slot >= 0 && this.#fieldBySlot[slot] === field) {
      const number = this.#numberBySlot[slot] as number;
      if (number > this.#inserted - this.#live) {
        this.#indexed(out, staticCount + 1 + this.#inserted - number);
        return;
      }
    }
    this.#fieldSlow(out, field);
  }

  #fieldSlow(out: OutBuffer, field: Field): void {
    const { name, value } = field;
    switch (indexingOf(field)) {
      case 'never':
        this.#literal(out, neverIndexed, this.#nameIndexOf(name), name, value);
        break;
      case 'name':
        this.#nameOnly(out, name, value);
        break;
      case 'plain':
        this.#literal(out, plain, this.#nameIndexOf(name), name, value);
        break;
      case 'repeats':
        this.#repeating(out, field);
        break;
    }
  }

  #repeating(out: OutBuffer, field: Field): void {
    const { name, value } = field;
    const line = lineOf(field);
    const known = this.#byLine.get(line) ?? staticLines.get(line);
    if (known === undefined && field.slot < 0) {
      remember(this.#byLine, line, seenOnce);
      // A name without an entry is worth one, because the next line with it refers to it.
      this.#nameOnly(out, name, value);
    } else if (known !== undefined && known < 0) this.#indexed(out, -known);
    else if (known !== undefined && this.#isLive(known)) {
      this.#indexed(out, this.#indexOf(known));
      this.#noteSlot(field, known);
    } else {
      const number = this.#insert(out, this.#nameIndexOf(name), name, value);
      if (number > 0) {
        remember(this.#byLine, line, number);
        this.#noteSlot(field, number);
      }
    }
  }

  #noteSlot(field: Field, number: number): void {
    const { slot } = field;
    if (slot < 0) return;
    if (slot >= this.#numberBySlot.length) {
      const next = new Int32Array(Math.max(slot + 1, this.#numberBySlot.length * 2));
      next.set(this.#numberBySlot);
      this.#numberBySlot = next;
    }
    while (this.#fieldBySlot.length <= slot) this.#fieldBySlot.push(undefined);
    this.#fieldBySlot[slot] = field;
    this.#numberBySlot[slot] = number;
  }

  /** The name goes through the table, the value does not. */
  #nameOnly(out: OutBuffer, name: string, value: string): void {
    const nameAt = this.#nameIndexOf(name);
    if (nameAt === 0) this.#insert(out, 0, name, value);
    else this.#literal(out, plain, nameAt, name, value);
  }

  #pseudo(out: OutBuffer, memo: Map<string, number>, key: string, nameAt: number, value: string): void {
    const known = memo.get(key);
    if (known !== undefined && this.#isLive(known)) this.#indexed(out, this.#indexOf(known));
    else if (value.length > limits.indexedLineBytes) this.#literal(out, plain, nameAt, '', value);
    else if (known === undefined) {
      remember(memo, key, seenOnce);
      this.#literal(out, plain, nameAt, '', value);
    } else {
      const number = this.#insert(out, nameAt, '', value, staticTable[nameAt - 1]?.[0].length);
      if (number > 0) memo.set(key, number);
    }
  }

  #number(out: OutBuffer, memo: Map<number, number>, value: number, nameAt: number, name: string): void {
    const known = memo.get(value);
    if (known !== undefined && this.#isLive(known)) this.#indexed(out, this.#indexOf(known));
    else if (known === undefined) {
      remember(memo, value, seenOnce);
      this.#literal(out, plain, nameAt, '', String(value));
    } else {
      const number = this.#insert(out, nameAt, '', String(value), name.length);
      if (number > 0) memo.set(value, number);
    }
  }

  #isLive(number: number): boolean {
    return number > this.#inserted - this.#live;
  }

  #indexOf(number: number): number {
    return staticCount + 1 + this.#inserted - number;
  }

  /** The index of an entry with this name, or 0. */
  #nameIndexOf(name: string): number {
    const fixed = staticNames.get(name);
    if (fixed !== undefined) return fixed;
    const number = this.#byName.get(name);
    return number !== undefined && this.#isLive(number) ? this.#indexOf(number) : 0;
  }

  /** Writes a literal that enters the table; returns its number, or -1 where it does not fit. */
  #insert(out: OutBuffer, nameAt: number, name: string, value: string, nameLength = name.length): number {
    const size = nameLength + value.length + limits.fieldOverheadBytes;
    if (size > this.#maxBytes) {
      this.#literal(out, plain, nameAt, name, value);
      return -1;
    }
    this.#literal(out, incremental, nameAt, name, value);
    this.#evict(this.#maxBytes - size);
    this.#inserted++;
    this.#live++;
    this.#size += size;
    this.#sizes[this.#inserted & this.#sizeMask] = size;
    if (name !== '' && !staticNames.has(name)) remember(this.#byName, name, this.#inserted);
    return this.#inserted;
  }

  #evict(bytes: number): void {
    while (this.#size > bytes && this.#live > 0) {
      this.#size -= this.#sizes[(this.#inserted - this.#live + 1) & this.#sizeMask] as number;
      this.#live--;
    }
  }

  #indexed(out: OutBuffer, index: number): void {
    if (out.pos + 8 > out.bytes.length) out.ensure(8);
    if (index < 0x7f) out.bytes[out.pos++] = 0x80 | index;
    else writeInteger(out, 0x80, 0x7f, index);
  }

  #literal(out: OutBuffer, form: number, nameAt: number, name: string, value: string): void {
    out.ensure(name.length + value.length + 24);
    writeInteger(out, form, form === incremental ? 0x3f : 0x0f, nameAt);
    const coded = this.#compact || form === incremental;
    if (nameAt === 0) writeString(out, name, coded);
    writeString(out, value, coded);
  }
}

type Indexing = 'never' | 'name' | 'plain' | 'repeats';

/** How a line is treated: by what it holds, for a value's first sight says nothing about its next. */
function indexingOf(field: Field): Indexing {
  if (field.slot === neverIndexedSlot) return 'never';
  switch (field.kind) {
    case fieldKind.authorization:
    case fieldKind.proxyAuthorization:
    case fieldKind.setCookie:
      return 'never';
    case fieldKind.cookie:
      if (field.value.length < guessableCookieBytes) return 'never';
      break;
    case fieldKind.requestId:
    case fieldKind.traceparent:
    case fieldKind.b3:
    case fieldKind.grpcTimeout:
      return 'name';
    case fieldKind.other:
      if (secretNames.has(field.name)) return 'never';
      break;
    default:
  }
  return field.name.length + field.value.length > limits.indexedLineBytes ? 'plain' : 'repeats';
}

/** What a field is known by; to HTTP/1.1 the mesh's own have no line. */
function lineOf({ name, value, line }: Field): string {
  return line === '' ? `${name}: ${value}\r\n` : line;
}

/** The static table's index of a status, or 0. */
function staticStatus(status: number): number {
  switch (status) {
    case 200:
      return 8;
    case 204:
      return 9;
    case 206:
      return 10;
    case 304:
      return 11;
    case 400:
      return 12;
    case 404:
      return 13;
    case 500:
      return 14;
    default:
      return 0;
  }
}

/** Keeps a memo within its bound: it starts anew when full, and what repeats is soon back. */
function remember<K>(memo: Map<K, number>, key: K, number: number): void {
  if (memo.size >= limits.encoderMemoEntries) memo.clear();
  memo.set(key, number);
}

function writeInteger(out: OutBuffer, flags: number, mask: number, value: number): void {
  const { bytes } = out;
  if (value < mask) {
    bytes[out.pos++] = flags | value;
    return;
  }
  bytes[out.pos++] = flags | mask;
  let rest = value - mask;
  while (rest >= 0x80) {
    bytes[out.pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[out.pos++] = rest;
}

function writeString(out: OutBuffer, text: string, coded: boolean): void {
  if (coded) {
    const size = huffmanLength(text);
    if (size < text.length) {
      writeInteger(out, 0x80, 0x7f, size);
      out.pos = huffmanEncode(text, out.bytes, out.pos);
      return;
    }
  }
  writeInteger(out, 0, 0x7f, text.length);
  if (text.length >= loopBelow) {
    out.pos += out.bytes.latin1Write(text, out.pos);
    return;
  }
  const { bytes } = out;
  let { pos } = out;
  for (let i = 0; i < text.length; i++) bytes[pos++] = text.charCodeAt(i);
  out.pos = pos;
}
