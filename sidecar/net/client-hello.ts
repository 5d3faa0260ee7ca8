/**
 * Reads the server name out of a TLS ClientHello without answering it (RFC 8446 §4.1.2, RFC 6066 §3): bytes in as
 * they come, the hello out once it is whole. Strict: what a TLS server would refuse for its form is refused here.
 *
 *   record: type 22 · version · length · ┐
 *   record: …                            ├─▶ handshake: type 1 · length · body ─▶ extensions ─▶ server_name
 *                                        ┘   (may be spread over records)
 */
import { isIP } from 'node:net';
import { MeshError } from '../../kit/errors.ts';

export interface ClientHello {
  /** Lower case; undefined where the client names none. */
  readonly serverName: string | undefined;
}

/** A hello with post-quantum key shares and many extensions has some 4 KiB. */
export const maxHelloBytes = 16 * 1024;
/** Records that a hello may be spread over; nobody but a prober cuts it into more. */
const maxHelloRecords = 64;

const recordHeaderBytes = 5;
const handshakeHeaderBytes = 4;
const maxRecordBytes = 16_384;
const handshakeRecord = 22;
const clientHello = 1;
const serverNameExtension = 0;
const hostName = 0;
const maxServerNameBytes = 253;

export class ClientHelloReader {
  /** Of the record whose header is being read. */
  readonly #header = new Uint8Array(recordHeaderBytes);
  #headerBytes = 0;
  /** Bytes left of the record's payload. */
  #recordLeft = 0;
  #records = 0;
  readonly #handshakeHeader = new Uint8Array(handshakeHeaderBytes);
  #handshakeBytes = 0;
  /** The hello, from after its handshake header. */
  #body: Uint8Array | undefined;

  /** The hello, once `chunk` completes it; until then undefined. Throws `malformed_message` or `head_too_large`. */
  push(chunk: Uint8Array): ClientHello | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#recordLeft === 0) {
        at = this.#readHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#recordLeft);
      this.#recordLeft -= end - at;
      const hello = this.#readHandshake(chunk, at, end);
      if (hello !== undefined) return hello;
      at = end;
    }
    return undefined;
  }

  #readHeader(chunk: Uint8Array, from: number): number {
    const header = this.#header;
    let at = from;
    while (at < chunk.length && this.#headerBytes < recordHeaderBytes)
      header[this.#headerBytes++] = chunk[at++] as number;
    if (this.#headerBytes > 0 && header[0] !== handshakeRecord) throw malformed('no TLS handshake record');
    if (this.#headerBytes > 1 && header[1] !== 3) throw malformed('no version of TLS');
    if (this.#headerBytes < recordHeaderBytes) return at;
    this.#headerBytes = 0;
    this.#recordLeft = uint16(header, 3);
    // RFC 8446 §5.1: handshake records are not empty.
    if (this.#recordLeft === 0 || this.#recordLeft > maxRecordBytes) throw malformed('TLS record length');
    if (++this.#records > maxHelloRecords) throw tooLarge(`ClientHello in over ${maxHelloRecords} records`);
    return at;
  }

  #readHandshake(chunk: Uint8Array, from: number, end: number): ClientHello | undefined {
    let at = from;
    const header = this.#handshakeHeader;
    while (at < end && this.#handshakeBytes < handshakeHeaderBytes) {
      header[this.#handshakeBytes++] = chunk[at++] as number;
    }
    if (header[0] !== clientHello) throw malformed('TLS handshake does not begin with a ClientHello');
    if (this.#handshakeBytes < handshakeHeaderBytes) return undefined;
    this.#body ??= this.#begin();
    const body = this.#body;
    const filled = this.#handshakeBytes - handshakeHeaderBytes;
    const taken = Math.min(end - at, body.length - filled);
    body.set(chunk.subarray(at, at + taken), filled);
    this.#handshakeBytes += taken;
    if (filled + taken < body.length) return undefined;
    // RFC 8446 §5.1: nothing may follow the hello within its record, for keys change after it.
    if (at + taken < end || this.#recordLeft > 0) throw malformed('bytes after the ClientHello');
    return parseHello(body);
  }

  #begin(): Uint8Array {
    const length = ((this.#handshakeHeader[1] as number) << 16) | uint16(this.#handshakeHeader, 2);
    if (length > maxHelloBytes) throw tooLarge(`ClientHello of ${length} bytes`);
    return new Uint8Array(length);
  }
}

/** Walks over length-prefixed vectors; what reaches over the end is malformed. */
class Cursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get isAtEnd(): boolean {
    return this.at === this.end;
  }

  skip(length: number): void {
    this.#need(length);
    this.at += length;
  }

  uint8(): number {
    this.#need(1);
    return this.bytes[this.at++] as number;
  }

  uint16(): number {
    this.#need(2);
    this.at += 2;
    return uint16(this.bytes, this.at - 2);
  }

  /** The next `length` bytes as a cursor of their own. */
  vector(length: number): Cursor {
    this.#need(length);
    this.at += length;
    return new Cursor(this.bytes, this.at - length, this.at);
  }

  #need(length: number): void {
    if (this.end - this.at < length) throw malformed('ClientHello is cut');
  }
}

const randomBytes = 32;
const maxSessionIdBytes = 32;

function parseHello(body: Uint8Array): ClientHello {
  const cursor = new Cursor(body, 0, body.length);
  if (cursor.uint8() !== 3) throw malformed('ClientHello names no version of TLS');
  cursor.skip(1 + randomBytes);
  const sessionId = cursor.uint8();
  if (sessionId > maxSessionIdBytes) throw malformed('session id too long');
  cursor.skip(sessionId);
  const suites = cursor.uint16();
  if (suites < 2 || suites % 2 !== 0) throw malformed('list of cipher suites');
  cursor.skip(suites);
  const compressions = cursor.uint8();
  if (compressions === 0) throw malformed('list of compression methods');
  cursor.skip(compressions);
  // A TLS 1.2 hello may end here (RFC 5246 §7.4.1.2).
  if (cursor.isAtEnd) return { serverName: undefined };
  const extensions = cursor.vector(cursor.uint16());
  if (!cursor.isAtEnd) throw malformed('bytes after the extensions');
  return { serverName: serverNameOf(extensions) };
}

function serverNameOf(extensions: Cursor): string | undefined {
  const seen = new Set<number>();
  let serverName: string | undefined;
  while (!extensions.isAtEnd) {
    const type = extensions.uint16();
    // RFC 8446 §4.2: one extension of a type.
    if (seen.has(type)) throw malformed(`extension ${type} is there twice`);
    seen.add(type);
    const content = extensions.vector(extensions.uint16());
    if (type === serverNameExtension) serverName = parseNameList(content);
  }
  return serverName;
}

/** A list of exactly one host name; other types were never defined. */
function parseNameList(content: Cursor): string {
  const list = content.vector(content.uint16());
  if (!content.isAtEnd || list.uint8() !== hostName) throw malformed('server name list');
  const name = list.vector(list.uint16());
  if (!list.isAtEnd) throw malformed('more than one server name');
  return parseHostName(name);
}

/** RFC 6066 §3: a DNS name in ASCII without a dot at its end, and no address. */
function parseHostName({ bytes, at, end }: Cursor): string {
  if (end === at || end - at > maxServerNameBytes) throw malformed('server name length');
  const name = Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString('latin1');
  if (!hostNameShape.test(name) || isIP(name) !== 0) throw malformed('server name is no host name');
  return name.toLowerCase();
}

/** Labels of letters, digits, hyphens, and underscores, which occur in practice. */
const hostNameShape = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*$/;

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function malformed(what: string): MeshError {
  return new MeshError('malformed_message', `malformed ClientHello: ${what}`, { origin: 'downstream' });
}

function tooLarge(what: string): MeshError {
  return new MeshError('head_too_large', what, { origin: 'downstream' });
}
