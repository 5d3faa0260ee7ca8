// hot: one call per literal string.
/**
 * The Huffman code of RFC 7541 Appendix B. The code is canonical, so its 257 lengths say everything:
 * codes of one length are consecutive numbers in the order of their symbols.
 *
 * Decoding looks up 8 bits at once, which covers every letter, digit and common sign; longer codes (5 % of
 * all symbols that occur in fields, and far fewer of the bytes) are found length by length.
 */
import { ConnectionFault, faultCode } from '../fault.ts';
import '../latin1.ts';

const endOfString = 256;
const shortBits = 8;
const longestCode = 30;

// biome-ignore format: sixteen symbols a line
const lengths = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
);

const codes = new Uint32Array(lengths.length);
/** Symbols in the order of their codes. */
const symbols = new Uint16Array(lengths.length);
/** For a length: its first code, how many there are, and where its symbols begin. */
const firstCode = new Uint32Array(longestCode + 1);
const codeCount = new Uint16Array(longestCode + 1);
const firstSymbol = new Uint16Array(longestCode + 1);
/** For 8 bits: symbol and length (symbol << 4 | length), or 0 where the code is longer. */
const shortCodes = new Uint16Array(1 << shortBits);

buildTables();

function buildTables(): void {
  let code = 0;
  let at = 0;
  for (let length = 1; length <= longestCode; length++) {
    code <<= 1;
    firstCode[length] = code;
    firstSymbol[length] = at;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== length) continue;
      codes[symbol] = code;
      symbols[at++] = symbol;
      if (length <= shortBits) fillShortCodes(symbol, code, length);
      code++;
    }
    codeCount[length] = at - (firstSymbol[length] as number);
  }
}

function fillShortCodes(symbol: number, code: number, length: number): void {
  const free = shortBits - length;
  for (let rest = 0; rest < 1 << free; rest++) shortCodes[(code << free) | rest] = (symbol << 4) | length;
}

/** The bytes that latin1 `text` takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 0xff] as number;
  return (bits + 7) >>> 3;
}

/** Writes latin1 `text` at `at`, where `huffmanLength` bytes must be free; returns the position after it. */
export function huffmanEncode(text: string, target: Uint8Array, at: number): number {
  let pos = at;
  let held = 0;
  let heldBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const code = codes[symbol] as number;
    const length = lengths[symbol] as number;
    if (length <= 24) {
      held = (held << length) | code;
      heldBits += length;
    } else {
      // With up to 7 bits held, 32 bits have room for 24 more; the rare longer codes go in two parts.
      held = (held << (length - 16)) | (code >>> 16);
      heldBits += length - 16;
      while (heldBits >= 8) {
        heldBits -= 8;
        target[pos++] = held >>> heldBits;
      }
      held = (held << 16) | (code & 0xffff);
      heldBits += 16;
    }
    while (heldBits >= 8) {
      heldBits -= 8;
      target[pos++] = held >>> heldBits;
    }
  }
  // The end is padded with the first bits of end-of-string, which are ones (RFC 7541 §5.2).
  if (heldBits > 0) target[pos++] = (held << (8 - heldBits)) | (0xff >>> heldBits);
  return pos;
}

/** Decoded bytes wait here: as many as the shortest codes, of 5 bits, can make of the longest text so far. */
let scratch = Buffer.allocUnsafeSlow(8192);

/**
 * The latin1 text of `source[start, end)`.
 * Throws COMPRESSION_ERROR on end-of-string inside, and on padding longer than 7 bits or not of ones.
 */
export function huffmanDecode(source: Uint8Array, start: number, end: number): string {
  if ((end - start) * 2 > scratch.length) scratch = Buffer.allocUnsafeSlow((end - start) * 2);
  let pos = start;
  let out = 0;
  let held = 0;
  let heldBits = 0;
  for (;;) {
    while (heldBits <= 24 && pos < end) {
      held = (held << 8) | (source[pos++] as number);
      heldBits += 8;
    }
    if (heldBits < shortBits) break;
    const hit = shortCodes[(held >>> (heldBits - shortBits)) & 0xff] as number;
    if (hit !== 0) {
      scratch[out++] = hit >>> 4;
      heldBits -= hit & 0xf;
      continue;
    }
    // A longer code: its bits may reach beyond those held, so it is read again from where it begins.
    const from = (pos - start) * 8 - heldBits;
    const found = decodeLong(source, start, end, from);
    scratch[out++] = symbols[found >>> 5] as number;
    const next = from + (found & 0x1f);
    pos = start + (next >>> 3);
    held = source[pos] ?? 0;
    heldBits = pos < end ? 8 - (next & 7) : 0;
    pos = Math.min(pos + 1, end);
  }
  return scratch.latin1Slice(0, decodeEnd(held, heldBits, out));
}

/** The last, fewer than 8, bits: short codes and the padding. Returns the end of the text in `scratch`. */
function decodeEnd(held: number, bits: number, out: number): number {
  let left = bits;
  let to = out;
  while (left > 0) {
    const hit = shortCodes[((held << (8 - left)) | (0xff >>> left)) & 0xff] as number;
    const length = hit & 0xf;
    if (hit === 0 || length > left) break;
    scratch[to++] = hit >>> 4;
    left -= length;
  }
  const ones = (1 << left) - 1;
  if ((held & ones) !== ones) {
    throw new ConnectionFault(faultCode.compressionError, 'huffman padding is not ones');
  }
  return to;
}

/** Finds the code of more than 8 bits at bit `from`: (position among `symbols`) << 5 | length. */
function decodeLong(source: Uint8Array, start: number, end: number, from: number): number {
  let code = 0;
  for (let length = 1; length <= longestCode; length++) {
    const bit = from + length - 1;
    const byte = start + (bit >>> 3);
    if (byte >= end) throw new ConnectionFault(faultCode.compressionError, 'huffman padding is over 7 bits');
    code = (code << 1) | (((source[byte] as number) >>> (7 - (bit & 7))) & 1);
    const offset = code - (firstCode[length] as number);
    if (offset >= 0 && offset < (codeCount[length] as number)) {
      const position = (firstSymbol[length] as number) + offset;
      if (symbols[position] === endOfString) {
        throw new ConnectionFault(faultCode.compressionError, 'huffman text holds end-of-string');
      }
      return (position << 5) | length;
    }
  }
  throw new ConnectionFault(faultCode.compressionError, 'huffman text holds no code');
}
