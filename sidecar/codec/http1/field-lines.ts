// hot: every head and trailer section (bench/micro/http1-parse.ts).
/**
 * The field lines of one head or trailer section, in one pass: RFC 9112 §5.
 *
 * End-to-end fields are collected as they come; those that the codec itself acts on (framing, connection, routing,
 * claims of identity) are kept apart by kind. One object serves all messages of a role: parsing is synchronous.
 */
import { Field, type FieldKind, fieldKind } from '../field.ts';
import { type FieldMemo, type LineEntry, mixed, standsAt } from '../field-memo.ts';
import { colon, cr, lf, space, tab, tokenByte, valueByte } from './chars.ts';
import { limits } from './limits.ts';
import { Refusal } from './refusal.ts';

/** Kinds that never travel as they are. */
const apart = new Uint8Array(32);
for (const kind of [
  fieldKind.host,
  fieldKind.connection,
  fieldKind.keepAlive,
  fieldKind.proxyConnection,
  fieldKind.transferEncoding,
  fieldKind.contentLength,
  fieldKind.te,
  fieldKind.upgrade,
  fieldKind.http2Settings,
  fieldKind.expect,
  fieldKind.heddlePort,
  fieldKind.heddle,
  fieldKind.identity,
  fieldKind.twin,
]) {
  apart[kind] = 1;
}

const noField = new Field('none', '');

export class FieldLines {
  /** The end-to-end fields of the section that was parsed last; whoever takes the array keeps it. */
  fields: Field[] = [];
  /** One bit per kind that occurred. */
  kinds = 0;
  /** One bit per kind kept apart that occurred more than once. */
  repeated = 0;
  readonly #memo: FieldMemo;
  readonly #maxFields: number;
  readonly #apart: (Field | undefined)[] = new Array<Field | undefined>(32).fill(undefined);
  #more: Field[] | undefined = undefined;
  /** The line that the last section began with. */
  #first: LineEntry | undefined = undefined;
  /** What `#line` found. */
  #lineField: Field = noField;
  #lineEntry: LineEntry | undefined = undefined;

  constructor(memo: FieldMemo, most = limits.maxFields) {
    this.#memo = memo;
    this.#maxFields = most;
  }

  has(kind: FieldKind): boolean {
    return (this.kinds & (1 << kind)) !== 0;
  }

  /** The first field of a kind that is kept apart; only after `has`. */
  first(kind: FieldKind): Field {
    return this.#apart[kind] as Field;
  }

  /** All fields of a kind that is kept apart; only after `has`. */
  all(kind: FieldKind): Field[] {
    const more = this.#more?.filter((field) => field.kind === kind) ?? [];
    return [this.first(kind), ...more];
  }

  /** All values of a list field that is kept apart, joined as RFC 9110 §5.3 has it. */
  list(kind: FieldKind): string {
    if ((this.repeated & (1 << kind)) === 0) return this.first(kind).value;
    return this.all(kind)
      .map((field) => field.value)
      .join();
  }

  /**
   * Parses from the first field line through the empty line and returns the position after it, or -1 where the
   * bytes end before. Throws a `Refusal`.
   */
  // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one pass without calls, bench/micro/http1-parse.ts
  parse(bytes: Buffer, start: number): number {
    const end = bytes.length;
    this.fields = [];
    this.kinds = 0;
    this.repeated = 0;
    this.#more = undefined;
    let at = start;
    let count = 0;
    let previous: LineEntry | undefined;
    let predicted = this.#first;
    for (;;) {
      if (predicted !== undefined && standsAt(predicted.bytes, bytes, at)) {
        predicted.used = true;
        at += predicted.bytes.length;
        this.#take(predicted.field);
        previous = predicted;
        predicted = predicted.next;
      } else {
        if (at >= end) return -1;
        if (bytes[at] === cr) {
          if (at + 1 >= end) return -1;
          if (bytes[at + 1] !== lf) throw new Refusal(400, 'bare CR');
          return at + 2;
        }
        const line = this.#line(bytes, at, end);
        if (line < 0) return -1;
        at = line;
        this.#take(this.#lineField);
        const entry = this.#lineEntry;
        if (entry !== undefined) {
          if (previous === undefined) this.#first = entry;
          else previous.next = entry;
          previous = entry;
          predicted = entry.next;
        }
      }
      if (++count > this.#maxFields) throw new Refusal(431, `more than ${this.#maxFields} fields`);
    }
  }

  /** One line that was not predicted: validated, then found or made. Returns the position after it, or -1. */
  // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one pass without calls, bench/micro/http1-parse.ts
  #line(bytes: Buffer, start: number, end: number): number {
    let hash = this.#memo.seed;
    let at = start;
    let byte = 0;
    for (; at < end; at++) {
      byte = bytes[at] as number;
      if (tokenByte[byte] !== 1) break;
      hash = mixed(hash, byte);
    }
    if (at - start > limits.maxNameBytes)
      throw new Refusal(431, `field name longer than ${limits.maxNameBytes} bytes`);
    if (at >= end) return -1;
    // RFC 9112 §5.1: no whitespace before the colon; §5.2: no line folding; no name may be empty.
    if (byte !== colon || at === start) throw new Refusal(400, badName(byte, at === start));
    const nameEnd = at;
    hash = mixed(hash, colon);
    const nameHash = hash;
    for (at++; at < end; at++) {
      byte = bytes[at] as number;
      if (valueByte[byte] !== 1) break;
      hash = mixed(hash, byte);
    }
    if (at >= end) return -1;
    if (byte !== cr) throw new Refusal(400, byte === lf ? 'bare LF' : 'control character in a field value');
    if (at + 1 >= end) return -1;
    if (bytes[at + 1] !== lf) throw new Refusal(400, 'bare CR');
    const entry = this.#memo.find(bytes, start, at - start, hash);
    this.#lineEntry = entry;
    if (entry !== undefined) this.#lineField = entry.field;
    else {
      const name = this.#memo.nameAt(bytes, start, nameEnd, nameHash);
      const value = valueBetween(bytes, nameEnd + 1, at);
      this.#lineField = this.#memo.add(name, value, bytes, start, at - start, hash);
    }
    return at + 2;
  }

  #take(field: Field): void {
    const { kind } = field;
    const bit = 1 << kind;
    if (apart[kind] === 0) this.fields.push(field);
    else if ((this.kinds & bit) === 0) this.#apart[kind] = field;
    else {
      this.repeated |= bit;
      if (this.#more === undefined) this.#more = [field];
      else this.#more.push(field);
    }
    this.kinds |= bit;
  }
}

/** The value without the blanks around it: RFC 9112 §5. */
function valueBetween(bytes: Buffer, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(bytes[from] as number)) from++;
  while (to > from && isBlank(bytes[to - 1] as number)) to--;
  return bytes.toString('latin1', from, to);
}

function isBlank(byte: number): boolean {
  return byte === space || byte === tab;
}

function badName(byte: number, isEmpty: boolean): string {
  if (isEmpty && isBlank(byte)) return 'folded line';
  if (isBlank(byte)) return 'whitespace in a field name or before its colon';
  if (byte === lf) return 'bare LF';
  return isEmpty ? 'empty field name' : 'not a field line';
}
