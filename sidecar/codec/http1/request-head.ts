// hot: every request (bench/micro/http1-parse.ts).
/** A request head from its bytes, checked and made neutral: RFC 9112 §3, §6, §9; RFC 9110 §7, §10.1. */
import type { RequestHead } from '../codec.ts';
import { fieldKind } from '../field.ts';
import type { FieldMemo } from '../field-memo.ts';
import { parseAuthority } from './authority.ts';
import { cr, lf, nine, one, space, targetByte, tokenByte, zero } from './chars.ts';
import { connectionOptionsOf, membersOf, withoutNominated } from './connection-options.ts';
import { FieldLines } from './field-lines.ts';
import { framingOf, noLength } from './framing.ts';
import { limits } from './limits.ts';
import { noAnswer, Refusal } from './refusal.ts';

export interface RequestContext {
  readonly scheme: 'http' | 'https';
  /** Between two sidecars fields under `heddle-` are allowed; from anyone else they are dropped. */
  readonly link: boolean;
}

/** Fields that need a second look; a request without them is done after one test. */
const unusualBits =
  (1 << fieldKind.connection) |
  (1 << fieldKind.te) |
  (1 << fieldKind.expect) |
  (1 << fieldKind.twin) |
  (1 << fieldKind.heddlePort) |
  (1 << fieldKind.heddle);

/** Refused only once the head is known to be well formed, so that the answer does not depend on how it came. */
const unsupportedVersion = -1;
/** ' HTTP/1.1' CR LF */
const versionBytes = 11;
const versionStart = Buffer.from(' HTTP/', 'latin1');
const getMethod = 0x47455420; // 'GET '
const slash = 0x2f;
const asterisk = 0x2a;
const letterH = 0x68;
const postMethod = 0x504f5354; // 'POST'

/** One parser serves all connections that share a memo. What it found stands in its properties until the next call. */
export class RequestParser {
  /** Set by a `parse` that found a whole head; whoever takes it keeps it. */
  head: RequestHead | undefined = undefined;
  /** 0 or 1. */
  minorVersion = 1;
  /** A length, `noLength` (then there is no body) or `chunked`. */
  framing = noLength;
  /** Whether the connection ends after this exchange. */
  close = false;
  readonly #lines: FieldLines;
  #method = '';
  #target = '';

  constructor(memo: FieldMemo) {
    this.#lines = new FieldLines(memo);
  }

  /**
   * Parses the head that begins at `start` (empty lines before it are the caller's) and returns the position after
   * it, or -1 where it is not complete. Throws a `Refusal` with the status that the client is to get.
   */
  parse(bytes: Buffer, start: number, context: RequestContext): number {
    const fieldsAt = this.#requestLine(bytes, start);
    const end = fieldsAt < 0 ? -1 : this.#lines.parse(bytes, fieldsAt);
    if ((end < 0 ? bytes.length : end) - start > limits.maxHeadBytes) {
      throw new Refusal(431, `head longer than ${limits.maxHeadBytes} bytes`);
    }
    if (end > 0) this.#interpret(context);
    return end;
  }

  #requestLine(bytes: Buffer, start: number): number {
    const methodEnd = endOfMethod(bytes, start);
    if (methodEnd < 0) return -1;
    // The first place that is too late for the space before the version.
    const limit = start + limits.maxStartLineBytes - versionBytes + 1;
    const end = Math.min(bytes.length, limit);
    let at = methodEnd + 1;
    while (at < end && targetByte[bytes[at] as number] === 1) at++;
    if (at === end) {
      if (at >= limit) throw new Refusal(414, `request line longer than ${limits.maxStartLineBytes} bytes`);
      return -1;
    }
    if (bytes[at] !== space || at === methodEnd + 1) throw new Refusal(400, 'request target');
    const after = at + versionBytes;
    if (after > bytes.length) return -1;
    // Neither a target nor a version of HTTP: another protocol, which would take an answer of ours for its own.
    if (!isTargetStart(bytes[methodEnd + 1] as number, at - methodEnd) && !endsAsHttp(bytes, at)) {
      throw new Refusal(noAnswer, 'not HTTP');
    }
    this.minorVersion = minorVersionAt(bytes, at);
    this.#method = methodOf(bytes, start, methodEnd);
    this.#target = bytes.toString('latin1', methodEnd + 1, at);
    return after;
  }

  #interpret(context: RequestContext): void {
    const lines = this.#lines;
    const { kinds } = lines;
    const method = this.#method;
    if (this.minorVersion === unsupportedVersion) throw new Refusal(505, 'HTTP version not supported');
    const authority = this.#authority();
    this.framing = framingOf(lines, this.minorVersion);
    this.close = this.minorVersion === 0;
    const head: RequestHead = {
      method,
      scheme: context.scheme,
      authority,
      path: this.#target,
      fields: lines.fields,
      contentLength: this.framing < 0 ? -1 : this.framing,
      protocol: undefined,
      expectContinue: false,
      acceptsTrailers: false,
    };
    // RFC 9110 §9.3.6, §9.3.8: neither a tunnel nor an echo of what a trusted hop added is offered on HTTP/1.1.
    if (method === 'CONNECT' || method === 'TRACE') {
      const hasBody = this.framing !== noLength;
      throw hasBody ? new Refusal(400, `${method} with a body`) : new Refusal(405, `${method} is not served`);
    }
    if ((kinds & unusualBits) !== 0) this.#interpretUnusual(head, context);
    this.head = head;
  }

  /** Sets `#target` to the origin form and returns the authority: RFC 9112 §3.2. */
  #authority(): string {
    const lines = this.#lines;
    if (!lines.has(fieldKind.host)) {
      // RFC 9112 §3.2: only HTTP/1.0 may leave it out; then the target has to say what is meant.
      if (this.minorVersion > 0 || this.#target.charCodeAt(0) === slash) throw new Refusal(400, 'no host');
      return this.#absoluteForm(this.#target);
    }
    if ((lines.repeated & (1 << fieldKind.host)) !== 0) throw new Refusal(400, 'more than one host');
    const host = parseAuthority(lines.first(fieldKind.host).value);
    if (host === undefined) throw new Refusal(400, 'host is not a host');
    const target = this.#target;
    if (target.charCodeAt(0) === 0x2f) return host;
    const method = this.#method;
    if (target === '*') {
      if (method !== 'OPTIONS') throw new Refusal(400, `target * with ${method}`);
      return host;
    }
    if (method === 'CONNECT') {
      if (parseAuthority(target) === undefined || !target.includes(':'))
        throw new Refusal(400, 'CONNECT target');
      return host;
    }
    return this.#absoluteForm(target);
  }

  /** The target's authority wins over Host; the scheme is not believed, only the connection is. */
  #absoluteForm(target: string): string {
    const scheme = target.slice(0, 8).toLowerCase();
    const from = scheme === 'https://' ? 8 : scheme.startsWith('http://') ? 7 : -1;
    if (from === -1) throw new Refusal(400, 'target is neither a path nor an http address');
    let to = from;
    while (to < target.length && target[to] !== '/' && target[to] !== '?') to++;
    const authority = parseAuthority(target.slice(from, to));
    if (authority === undefined) throw new Refusal(400, 'authority of the target');
    const rest = target.slice(to);
    if (rest === '' && this.#method === 'OPTIONS') this.#target = '*';
    else this.#target = rest.startsWith('/') ? rest : `/${rest}`;
    return authority;
  }

  #interpretUnusual(head: RequestHead, context: RequestContext): void {
    const lines = this.#lines;
    if (lines.has(fieldKind.twin)) {
      throw new Refusal(400, `field ${lines.first(fieldKind.twin).name} mimics a guarded one`);
    }
    const options = connectionOptionsOf(lines);
    if (options.close) this.close = true;
    head.fields = withoutNominated(head.fields, options.nominated);
    if (lines.has(fieldKind.te))
      head.acceptsTrailers = membersOf(lines.list(fieldKind.te)).includes('trailers');
    // RFC 9110 §7.8, §10.1.1: a server ignores both from an HTTP/1.0 client.
    if (this.minorVersion > 0) {
      if (options.upgrade && lines.has(fieldKind.upgrade)) this.#interpretUpgrade(head);
      if (lines.has(fieldKind.expect)) this.#interpretExpect(head);
    }
    if (context.link) {
      for (const kind of [fieldKind.heddlePort, fieldKind.heddle]) {
        if (lines.has(kind)) head.fields.push(...lines.all(kind));
      }
    }
  }

  /** WebSocket is the one protocol that is passed on; all else is answered as if it had not been asked for. */
  #interpretUpgrade(head: RequestHead): void {
    if (!membersOf(this.#lines.list(fieldKind.upgrade)).includes('websocket')) return;
    // A body before the tunnel would be read as part of it by one side and not by the other.
    if (this.framing > 0 || this.framing < noLength) throw new Refusal(400, 'upgrade with a body');
    if (head.method !== 'GET') return;
    head.protocol = 'websocket';
    head.contentLength = -1;
    this.framing = noLength;
  }

  #interpretExpect(head: RequestHead): void {
    if (this.#lines.list(fieldKind.expect).toLowerCase() !== '100-continue') {
      throw new Refusal(417, 'unknown expectation');
    }
    head.expectContinue = this.framing !== noLength && this.framing !== 0;
  }
}

/** The position of the space after the method, or -1. */
function endOfMethod(bytes: Buffer, start: number): number {
  const end = bytes.length;
  let at = start;
  while (at < end && tokenByte[bytes[at] as number] === 1) at++;
  if (at - start > limits.maxNameBytes) throw new Refusal(400, 'method too long');
  if (at === end) return -1;
  if (bytes[at] !== space || at === start) throw new Refusal(400, 'method');
  return at;
}

function methodOf(bytes: Buffer, start: number, end: number): string {
  const size = end - start;
  if (size === 3 || size === 4) {
    const word =
      ((bytes[start] as number) << 24) |
      ((bytes[start + 1] as number) << 16) |
      ((bytes[start + 2] as number) << 8) |
      (bytes[start + 3] as number);
    if (word === getMethod) return 'GET';
    if (size === 4 && word === postMethod) return 'POST';
  }
  return bytes.toString('latin1', start, end);
}

/** Whether a target of so many bytes that begins with `byte` may be a path, `*` or an address. */
function isTargetStart(byte: number, length: number): boolean {
  return byte === slash || (byte === asterisk && length === 2) || (byte | 0x20) === letterH;
}

/** Whether a version of HTTP stands anywhere in what is left of the line. */
function endsAsHttp(bytes: Buffer, at: number): boolean {
  const end = bytes.indexOf(cr, at);
  const version = bytes.indexOf(versionStart, at);
  return version >= 0 && (end < 0 || version < end);
}

function isHttpAt(bytes: Buffer, at: number): boolean {
  for (let i = 0; i < versionStart.length; i++) if (bytes[at + i] !== versionStart[i]) return false;
  return true;
}

/** Checks ' HTTP/1.x' CR LF at `at`: RFC 9112 §2.3. */
function minorVersionAt(bytes: Buffer, at: number): number {
  if (!isHttpAt(bytes, at)) throw new Refusal(400, 'HTTP version');
  const major = bytes[at + 6] as number;
  const minor = bytes[at + 8] as number;
  const isVersion = isDigit(major) && bytes[at + 7] === 0x2e && isDigit(minor);
  if (!isVersion) throw new Refusal(400, 'HTTP version');
  if (bytes[at + 9] !== cr || bytes[at + 10] !== lf) throw new Refusal(400, 'bytes after the HTTP version');
  if (major !== one) return unsupportedVersion;
  // RFC 9110 §2.5: a higher minor version is taken for the highest that we know.
  return minor === zero ? 0 : 1;
}

function isDigit(byte: number): boolean {
  return byte >= zero && byte <= nine;
}
