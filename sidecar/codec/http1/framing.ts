// hot: every message with a body.
/** Where a body ends, from its fields: RFC 9112 §6. Ambiguity is refused, never resolved. */
import { fieldKind } from '../field.ts';
import { consistsOf, nine, tokenByte, zero } from './chars.ts';
import { trimBlanks } from './connection-options.ts';
import type { FieldLines } from './field-lines.ts';
import { limits } from './limits.ts';
import { Refusal } from './refusal.ts';

const framingBits = (1 << fieldKind.contentLength) | (1 << fieldKind.transferEncoding);

export const noLength = -1;
export const chunked = -2;

/** The length that was declared, `noLength` or `chunked`. Throws a `Refusal` for what is neither. */
export function framingOf(lines: FieldLines, minorVersion: number): number {
  const present = lines.kinds & framingBits;
  if (present === 0) return noLength;
  if ((lines.repeated & framingBits) !== 0) throw new Refusal(400, 'framing field more than once');
  if (present === framingBits) throw new Refusal(400, 'both content-length and transfer-encoding');
  if (lines.has(fieldKind.contentLength)) return parseLength(lines.first(fieldKind.contentLength).value);
  // RFC 9112 §6.1: in HTTP/1.0 the framing is faulty.
  if (minorVersion === 0) throw new Refusal(400, 'transfer-encoding in HTTP/1.0');
  const coding = lines.first(fieldKind.transferEncoding).value;
  if (coding.length === 7 && coding.toLowerCase() === 'chunked') return chunked;
  const members = coding.toLowerCase().split(',');
  const last = trimBlanks(members.pop() ?? '');
  // RFC 9112 §6.3 (4): a length can be found only where chunked is last; §6.1: other codings are not ours to undo.
  if (last === 'chunked' && members.every(isOtherCoding)) {
    throw new Refusal(501, 'transfer coding not supported');
  }
  throw new Refusal(400, 'transfer-encoding is not chunked');
}

/** A name of one, known or not. */
function isOtherCoding(member: string): boolean {
  const coding = trimBlanks(member);
  return coding !== '' && coding !== 'chunked' && consistsOf(coding, tokenByte);
}

/** 1*DIGIT and nothing else. */
function parseLength(value: string): number {
  if (value.length === 0 || value.length > limits.maxLengthDigits) throw new Refusal(400, 'content-length');
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i);
    if (digit < zero || digit > nine) throw new Refusal(400, 'content-length is not a number');
    length = length * 10 + digit - zero;
  }
  return length;
}
