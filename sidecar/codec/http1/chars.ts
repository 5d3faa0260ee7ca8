// hot: one look-up per byte.
/** Byte classes of RFC 9110 and 9112 as tables: 1 for members. Nothing here is ever decided by a string method. */

function table(isMember: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isMember(byte) ? 1 : 0));
}

const isDigit = (c: number) => c >= 0x30 && c <= 0x39;
const isAlpha = (c: number) => (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a);
const oneOf = (text: string) => (c: number) => text.includes(String.fromCharCode(c));

const isTokenMark = oneOf("!#$%&'*+-.^_`|~");
const isUnreservedMark = oneOf('-._~');

/** RFC 9110 §5.6.2. */
export const tokenByte = table((c) => isDigit(c) || isAlpha(c) || isTokenMark(c));
/** RFC 9110 §5.5: field-vchar, obs-text, SP and HTAB. */
export const valueByte = table((c) => c === 0x09 || (c >= 0x20 && c !== 0x7f));
/** What may stand in a request target: visible ASCII without fragment and backslash (RFC 9112 §3.2). */
export const targetByte = table((c) => c > 0x20 && c < 0x7f && c !== 0x23 && c !== 0x5c);
/** What may stand in the name part of an authority: unreserved only, for names that are routed by are nothing else. */
export const hostByte = table((c) => isDigit(c) || isAlpha(c) || isUnreservedMark(c));
/** RFC 9110 §5.6.4: qdtext, without the tab's relatives. */
export const quotedByte = table((c) => c === 0x09 || (c >= 0x20 && c !== 0x22 && c !== 0x5c && c !== 0x7f));
/** The value of a hexadecimal digit, else 255. */
export const hexValue = Uint8Array.from({ length: 256 }, (_, c) => {
  if (isDigit(c)) return c - 0x30;
  const lower = c | 0x20;
  return isAlpha(c) && lower <= 0x66 ? lower - 0x57 : 255;
});

export const tab = 0x09;
export const lf = 0x0a;
export const cr = 0x0d;
export const space = 0x20;
export const quote = 0x22;
export const zero = 0x30;
export const one = 0x31;
export const nine = 0x39;
export const colon = 0x3a;
export const semicolon = 0x3b;
export const equals = 0x3d;
export const backslash = 0x5c;

/** Whether every code unit of `text` is in `bytes`; false for what is not latin1. */
export function consistsOf(text: string, bytes: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) {
    if (bytes[text.charCodeAt(i)] !== 1) return false;
  }
  return true;
}
