// hot: once per field that is not in the dynamic table.
/** What names, values and pseudo-header values may be made of, as byte tables. RFC 9110 §5.1, RFC 9113 §8.2–8.3. */

const name = 1;
const value = 2;
const token = 4;
const path = 8;
const host = 16;
const classes = new Uint8Array(256);

for (let code = 0; code < 256; code++) {
  const char = String.fromCharCode(code);
  const isToken = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char);
  let bits = 0;
  if (isToken) bits |= token;
  if (isToken && !/[A-Z]/.test(char)) bits |= name;
  if (code === 0x09 || (code >= 0x20 && code !== 0x7f)) bits |= value;
  if (code > 0x20 && code < 0x7f && char !== '#') bits |= path;
  if (/[A-Za-z0-9\-._~!$&'()*+,;=:[\]%]/.test(char)) bits |= host;
  classes[code] = bits;
}

function isAll(text: string, bit: number): boolean {
  for (let i = 0; i < text.length; i++) {
    if (((classes[text.charCodeAt(i)] as number) & bit) === 0) return false;
  }
  return true;
}

/** Whether `text` is a field name of HTTP/2: a token without capitals, not empty. */
export function isFieldName(text: string): boolean {
  return text.length > 0 && isAll(text, name);
}

/** Whether `text` is a field value: no control characters, no white space around it. RFC 9113 §8.2.1. */
export function isFieldValue(text: string): boolean {
  if (text.length === 0) return true;
  return isAll(text, value) && !isBlank(text.charCodeAt(0)) && !isBlank(text.charCodeAt(text.length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Whether `text` is a method. */
export function isToken(text: string): boolean {
  return text.length > 0 && isAll(text, token);
}

/** Whether `text` is an origin-form path with its query, or `*`. */
export function isPath(text: string): boolean {
  return text === '*' || (text.charCodeAt(0) === 0x2f && isAll(text, path));
}

/** `text` in lower case where it is a host with an optional port, else undefined. RFC 9110 §4.2, §7.2. */
export function parseAuthority(text: string): string | undefined {
  if (text.length === 0 || text.length > 300 || !isAll(text, host)) return undefined;
  let portAt = text.indexOf(':');
  if (text.charCodeAt(0) === 0x5b) {
    const close = text.indexOf(']');
    if (close < 3 || text.indexOf('[', 1) !== -1 || !isIpv6Literal(text, close)) return undefined;
    if (close + 1 === text.length) return text.toLowerCase();
    portAt = close + 1;
    if (text.charCodeAt(portAt) !== 0x3a) return undefined;
  } else if (portAt === 0 || text.includes('[') || text.includes(']')) return undefined;
  if (portAt !== -1 && !isPort(text, portAt + 1)) return undefined;
  return text.toLowerCase();
}

function isIpv6Literal(text: string, close: number): boolean {
  for (let i = 1; i < close; i++) {
    const code = text.charCodeAt(i) | 0x20;
    const isHex = (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66);
    if (!isHex && text[i] !== ':' && text[i] !== '.') return false;
  }
  return true;
}

function isPort(text: string, from: number): boolean {
  if (from === text.length || text.length - from > 5) return false;
  let number = 0;
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return false;
    number = number * 10 + digit;
  }
  return number <= 65_535;
}

/** The number that `text` is in decimal digits only, up to 2^53 - 1; else -1. RFC 9110 §8.6. */
export function parseDecimal(text: string): number {
  if (text.length === 0 || text.length > 16) return -1;
  let number = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return Number.isSafeInteger(number) ? number : -1;
}
