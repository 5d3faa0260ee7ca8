// hot: one call per header block.
/**
 * HPACK decoding (RFC 7541). The dynamic table holds judged entries, so an indexed field costs one look-up
 * and creates nothing.
 *
 *   ring:  [ … oldest · · · · newest | free … ]      index 62 is the newest
 *
 * Everything wrong is a ConnectionFault, for the table's state is lost with the first mistake (§2.2, RFC 9113 §4.3).
 */
import { ConnectionFault, faultCode } from '../fault.ts';
import '../latin1.ts';
import { limits } from '../limits.ts';
import { HeaderEntry, type HeaderName, headerName, staticEntries } from './header-entry.ts';
import { huffmanDecode } from './huffman.ts';
import { staticCount } from './static-table.ts';

/** Takes the fields of one block in order. */
export interface EntrySink {
  onEntry(entry: HeaderEntry): void;
}

/** What became of a block: `too_large` ones were decoded to the end, so that the table stays right. */
export type DecodeResult = 'ok' | 'too_large';

export class HpackDecoder {
  readonly #settingBytes: number;
  readonly #mostFields: number;
  readonly #mostBytes: number;
  #ring: (HeaderEntry | undefined)[];
  #mask: number;
  /** Position of the newest entry. */
  #newest = 0;
  #count = 0;
  #size = 0;
  #maxBytes: number;
  /** Reading position in the block. */
  #pos = 0;
  /** Of the block at hand. */
  #fields = 0;
  #bytes = 0;
  #isTooLarge = false;

  /** `settingBytes` is the SETTINGS_HEADER_TABLE_SIZE that we announce; 4096 holds until the peer has read it. */
  constructor(settingBytes: number, isLink = false) {
    this.#settingBytes = settingBytes;
    this.#mostFields = limits.fieldsPerBlock + (isLink ? limits.linkExtraFields : 0);
    this.#mostBytes = limits.fieldBytesPerBlock + (isLink ? limits.linkExtraBytes : 0);
    this.#maxBytes = Math.min(settingBytes, limits.plainTableBytes);
    this.#ring = new Array<HeaderEntry | undefined>(64).fill(undefined);
    this.#mask = 63;
  }

  /** Bytes in the dynamic table, as RFC 7541 §4.1 counts them. */
  get tableBytes(): number {
    return this.#size;
  }

  /** Decoded size of the last block, as RFC 9113 §6.5.2 counts it. */
  get blockBytes(): number {
    return this.#bytes;
  }

  /** Decodes the whole block `source[start, end)` into `sink`. */
  decode(source: Buffer, start: number, end: number, sink: EntrySink): DecodeResult {
    this.#pos = start;
    this.#fields = 0;
    this.#bytes = 0;
    this.#isTooLarge = false;
    // RFC 7541 §4.2: size updates only at the beginning of a block.
    while (this.#pos < end && ((source[this.#pos] as number) & 0xe0) === 0x20) {
      this.#resize(this.#integer(source, end, 0x1f));
    }
    while (this.#pos < end) {
      const first = source[this.#pos] as number;
      const entry =
        first >= 0x80 ? this.#lookUp(this.#integer(source, end, 0x7f)) : this.#literal(source, end, first);
      if (this.#admits(entry)) sink.onEntry(entry as HeaderEntry);
    }
    return this.#isTooLarge ? 'too_large' : 'ok';
  }

  /** Counts a field, before anything is kept of it. */
  #admits(entry: HeaderEntry | undefined): boolean {
    this.#fields++;
    this.#bytes += entry === undefined ? limits.fieldOverheadBytes : entry.size;
    if (this.#fields <= this.#mostFields && this.#bytes <= this.#mostBytes) return true;
    this.#isTooLarge = true;
    if (this.#bytes > limits.fieldBytesPerBlock * limits.fieldBytesFatalFactor) {
      throw new ConnectionFault(faultCode.enhanceYourCalm, `header block of over ${this.#bytes} bytes`);
    }
    return false;
  }

  #lookUp(index: number): HeaderEntry {
    const entry =
      index <= staticCount
        ? staticEntries[index]
        : index - staticCount <= this.#count
          ? this.#ring[(this.#newest - (index - staticCount - 1)) & this.#mask]
          : undefined;
    if (entry === undefined) throw compression(`no table entry ${index}`);
    return entry;
  }

  /** A literal field; undefined where it was skipped, because the block is too large already. */
  #literal(source: Buffer, end: number, first: number): HeaderEntry | undefined {
    if ((first & 0xe0) === 0x20) throw compression('table size update after a field');
    const isIndexed = (first & 0x40) !== 0;
    const keep = isIndexed || !this.#isTooLarge;
    const nameIndex = this.#integer(source, end, isIndexed ? 0x3f : 0x0f);
    let name: HeaderName | undefined;
    if (nameIndex !== 0) name = this.#lookUp(nameIndex).name;
    else {
      const text = this.#string(source, end, keep);
      if (keep) name = headerName(text);
    }
    const value = this.#string(source, end, keep);
    if (name === undefined || !keep) return undefined;
    const entry = new HeaderEntry(name, value, (first & 0xf0) === 0x10);
    if (isIndexed) this.#insert(entry);
    return entry;
  }

  #string(source: Buffer, end: number, keep: boolean): string {
    if (this.#pos >= end) throw compression('block ends before a string');
    const coded = ((source[this.#pos] as number) & 0x80) !== 0;
    const length = this.#integer(source, end, 0x7f);
    const start = this.#pos;
    if (length > end - start) throw compression('block ends within a string');
    this.#pos = start + length;
    if (!keep) return '';
    if (coded) return huffmanDecode(source, start, start + length);
    return source.latin1Slice(start, start + length);
  }

  /** An integer whose prefix has the bits of `mask`. RFC 7541 §5.1. */
  #integer(source: Buffer, end: number, mask: number): number {
    const prefix = (source[this.#pos++] as number) & mask;
    if (prefix < mask) return prefix;
    let value = mask;
    let factor = 1;
    for (let count = 0; count < limits.integerBytes; count++) {
      if (this.#pos >= end) throw compression('block ends within an integer');
      const byte = source[this.#pos++] as number;
      value += (byte & 0x7f) * factor;
      if (value > 0xffff_ffff) throw compression('integer of over 32 bits');
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw compression(`integer of over ${limits.integerBytes} bytes`);
  }

  #insert(entry: HeaderEntry): void {
    this.#evict(this.#maxBytes - entry.size);
    // RFC 7541 §4.4: what is larger than the table empties it and is not kept.
    if (entry.size > this.#maxBytes) return;
    if (this.#count > this.#mask) this.#growRing();
    this.#newest = (this.#newest + 1) & this.#mask;
    this.#ring[this.#newest] = entry;
    this.#count++;
    this.#size += entry.size;
  }

  /** Removes the oldest entries until at most `bytes` are left. */
  #evict(bytes: number): void {
    while (this.#size > bytes && this.#count > 0) {
      const at = (this.#newest - this.#count + 1) & this.#mask;
      this.#size -= (this.#ring[at] as HeaderEntry).size;
      this.#ring[at] = undefined;
      this.#count--;
    }
  }

  #resize(bytes: number): void {
    if (bytes > this.#settingBytes) throw compression(`table size ${bytes} over our ${this.#settingBytes}`);
    this.#maxBytes = bytes;
    this.#evict(bytes);
  }

  #growRing(): void {
    const next = new Array<HeaderEntry | undefined>(this.#ring.length * 2).fill(undefined);
    for (let i = 0; i < this.#count; i++) {
      next[i] = this.#ring[(this.#newest - this.#count + 1 + i) & this.#mask];
    }
    this.#ring = next;
    this.#mask = next.length - 1;
    this.#newest = this.#count - 1;
  }
}

function compression(message: string): ConnectionFault {
  return new ConnectionFault(faultCode.compressionError, message);
}
