// hot: once per field that is not in the dynamic table.
/** What names, values and pseudo-header values may be made of, as byte tables. RFC 9110 §5.1, RFC 9113 §8.2–8.3. */

const name = 1;
const value = 2;
const token = 4;
const path = 8;
const classes = new Uint8Array(256);

for (let code = 0; code < 256; code++) {
  const char = String.fromCharCode(code);
  const isToken = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char);
  let bits = 0;
  if (isToken) bits |= token;
  if (isToken && !/[A-Z]/.test(char)) bits |= name;
  if (code === 0x09 || (code >= 0x20 && code !== 0x7f)) bits |= value;
  if (code > 0x20 && code < 0x7f && !/[#\\]/.test(char)) bits |= path;
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
