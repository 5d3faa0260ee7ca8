// hot: every header line of every message (bench/micro/http1-parse.ts).
/**
 * Header lines that repeat from message to message, each as one shared `Field`: recognised by its bytes, so that a
 * repeated line is neither validated nor turned into strings again.
 *
 *   table   [set 0: way way way way][set 1: …] … 256 sets      slot = place in the table
 *   entry   ── next ──▶ the entry that came after it last time: compared first, without a hash
 *
 * A line enters at its second sighting (`#doorkeeper` holds the hashes of the first), so values that never repeat
 * do not drive out those that do. Within a set the ways give way in turn, used ones get a second chance. Secrets
 * are never kept. Everything is bounded: 1024 lines of at most 512 bytes, 256 names.
 */
import { Field, type FieldKind, fieldKind, kindOfName } from './field.ts';
import { ownBytes, ownCopy } from './own-copy.ts';

const setCount = 256;
const wayCount = 4;
/** Longer lines are not kept. */
const maxLineBytes = 512;
const doorkeeperSize = 4096;
const nameCount = 256;
const colon = 0x3a;
const space = 0x20;

/** A kept line. */
export class LineEntry {
  readonly field: Field;
  /** As it was received, CRLF included. */
  readonly bytes: Buffer;
  readonly hash: number;
  /** Hit since the last time its place was wanted. */
  used = false;
  /** What followed it last time. */
  next: LineEntry | undefined = undefined;

  constructor(field: Field, bytes: Buffer, hash: number) {
    this.field = field;
    this.bytes = bytes;
    this.hash = hash;
  }
}

/** A field name as it was written, and what is known of it. */
export class KnownName {
  readonly name: string;
  readonly kind: FieldKind;
  /** Its values are not kept. */
  readonly isPrivate: boolean;
  /** As it was received, colon included. */
  readonly bytes: Buffer;

  constructor(name: string, bytes: Buffer) {
    this.name = name;
    this.kind = kindOfName(name);
    this.isPrivate = isPrivate(this.kind, name);
    this.bytes = bytes;
  }
}

export class FieldMemo {
  readonly #table = new Array<LineEntry | undefined>(setCount * wayCount).fill(undefined);
  readonly #hands = new Uint8Array(setCount);
  readonly #doorkeeper = new Int32Array(doorkeeperSize);
  /** Whatever came last by its hash. */
  readonly #names = new Array<KnownName | undefined>(nameCount).fill(undefined);
  /** Begins every hash, so that nobody outside can choose lines that meet in one set. */
  readonly seed: number;

  /** `seed` is any 32-bit integer; a random one in production. */
  constructor(seed: number) {
    this.seed = seed | 0;
  }

  /** The kept line whose bytes stand at `at`, CRLF included; `size` and `hash` are those without CRLF. */
  find(bytes: Buffer, at: number, size: number, hash: number): LineEntry | undefined {
    const first = (hash & (setCount - 1)) * wayCount;
    for (let way = first; way < first + wayCount; way++) {
      const entry = this.#table[way];
      if (entry === undefined) return undefined;
      if (entry.hash === hash && entry.bytes.length === size + 2 && standsAt(entry.bytes, bytes, at)) {
        entry.used = true;
        return entry;
      }
    }
    return undefined;
  }

  /** The valid name that begins at `at` and whose colon is at `colonAt`; `hash` includes the colon. */
  nameAt(bytes: Buffer, at: number, colonAt: number, hash: number): KnownName {
    const place = (hash >>> 4) & (nameCount - 1);
    const known = this.#names[place];
    if (known !== undefined && standsAt(known.bytes, bytes, at)) return known;
    // Only ASCII letters are in a token, so lower case is what it says.
    const name = bytes.toString('latin1', at, colonAt).toLowerCase();
    const fresh = new KnownName(name, ownCopy(bytes, at, colonAt + 1));
    this.#names[place] = fresh;
    return fresh;
  }

  /**
   * The field of a valid line that `find` did not know, kept from its second sighting on.
   * The line is `bytes[at .. at + size]` and is followed by CRLF.
   */
  add(known: KnownName, value: string, bytes: Buffer, at: number, size: number, hash: number): Field {
    if (known.isPrivate || size > maxLineBytes || !this.#seenBefore(hash)) {
      return new Field(known.name, value, -1, known.kind);
    }
    return this.#keep(known.name, value, ownCopy(bytes, at, at + size + 2), hash);
  }

  /**
   * The shared field of a name and value that did not come as a line (HPACK). The name must be a lower-case token
   * and the value valid.
   */
  intern(name: string, value: string): Field {
    if (name.length + value.length > maxLineBytes || isPrivate(kindOfName(name), name)) {
      return new Field(name, value);
    }
    const hash = this.#hashOf(name, value);
    const first = (hash & (setCount - 1)) * wayCount;
    for (let way = first; way < first + wayCount; way++) {
      const entry = this.#table[way];
      if (entry === undefined) break;
      if (entry.hash === hash && entry.field.value === value && entry.field.name === name) {
        entry.used = true;
        return entry.field;
      }
    }
    if (!this.#seenBefore(hash)) return new Field(name, value);
    return this.#keep(name, value, ownBytes(`${name}: ${value}\r\n`), hash);
  }

  #keep(name: string, value: string, line: Buffer, hash: number): Field {
    const place = this.#placeFor(hash & (setCount - 1));
    const field = new Field(name, value, place);
    this.#table[place] = new LineEntry(field, line, hash);
    return field;
  }

  #placeFor(set: number): number {
    const first = set * wayCount;
    for (;;) {
      const hand = this.#hands[set] as number;
      this.#hands[set] = (hand + 1) % wayCount;
      const entry = this.#table[first + hand];
      if (entry === undefined || !entry.used) return first + hand;
      entry.used = false;
    }
  }

  #seenBefore(hash: number): boolean {
    const place = (hash >>> 8) & (doorkeeperSize - 1);
    if (this.#doorkeeper[place] === hash) return true;
    this.#doorkeeper[place] = hash;
    return false;
  }

  #hashOf(name: string, value: string): number {
    let hash = this.seed;
    for (let i = 0; i < name.length; i++) hash = mixed(hash, name.charCodeAt(i));
    hash = mixed(mixed(hash, colon), space);
    for (let i = 0; i < value.length; i++) hash = mixed(hash, value.charCodeAt(i));
    return hash;
  }
}

/** One step of a line's hash, over every byte before its CRLF. */
export function mixed(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193) ^ (hash >>> 15);
}

/** Whether `bytes` has `line` at `at`. */
export function standsAt(line: Buffer, bytes: Buffer, at: number): boolean {
  const size = line.length;
  if (at + size > bytes.length) return false;
  for (let i = 0; i < size; i++) {
    if (line[i] !== bytes[at + i]) return false;
  }
  return true;
}

/** Values that must not outlive their message in a table shared by all, or that never repeat anyway. */
function isPrivate(kind: FieldKind, name: string): boolean {
  switch (kind) {
    case fieldKind.authorization:
    case fieldKind.proxyAuthorization:
    case fieldKind.cookie:
    case fieldKind.setCookie:
    case fieldKind.requestId:
    case fieldKind.traceparent:
    case fieldKind.b3:
    case fieldKind.identity:
      return true;
    default:
      return secretNames.has(name);
  }
}

/** Fields by which a caller proves itself: kept in no table that others share. */
export const secretNames: ReadonlySet<string> = new Set([
  'x-api-key',
  'api-key',
  'x-auth-token',
  'x-access-token',
  'x-csrf-token',
  'x-xsrf-token',
  'x-amz-security-token',
  'sec-websocket-key',
]);
