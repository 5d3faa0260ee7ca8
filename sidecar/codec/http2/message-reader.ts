// hot: once per header block.
/**
 * Turns the entries of a block into a neutral head or trailers, and finds what RFC 9113 §8 forbids.
 * A problem is a text; the caller resets the stream with it and nothing of the message is passed on.
 */
import type { RequestHead, ResponseHead } from '../codec.ts';
import { Field } from '../field.ts';
import type { EntrySink } from './hpack/decoder.ts';
import { action, type HeaderEntry } from './hpack/header-entry.ts';

const bit = (act: number): number => 1 << (act - action.firstPseudo);
const methodBit = bit(action.method);
const schemeBit = bit(action.scheme);
const authorityBit = bit(action.authority);
const pathBit = bit(action.path);
const statusBit = bit(action.status);
const protocolBit = bit(action.protocol);

/** What the block is: which pseudo-headers it may have. */
export type BlockKind = 'request' | 'response' | 'trailers';

const allowedPseudo: Record<BlockKind, number> = {
  request: methodBit | schemeBit | authorityBit | pathBit | protocolBit,
  response: statusBit,
  trailers: 0,
};

export class MessageReader implements EntrySink {
  readonly #isLink: boolean;
  #kind: BlockKind = 'request';
  /** Why the message is malformed, else ''. */
  #problem = '';
  #fields: Field[] = [];
  #seenPseudo = 0;
  #hasRegular = false;
  #method = '';
  #scheme: 'http' | 'https' = 'http';
  #authority = '';
  #path = '';
  #protocol = '';
  #host = '';
  #status = 0;
  #contentLength = -1;
  #acceptsTrailers = false;
  #expectContinue = false;
  /** Where the first cookie stands among the fields, and all crumbs joined. */
  #cookieAt = -1;
  #cookies = '';

  constructor(isLink: boolean) {
    this.#isLink = isLink;
  }

  /** Why the block cannot become a message; '' where nothing is wrong so far. */
  get problem(): string {
    return this.#problem;
  }

  /** Whether the block looks like a request. */
  get hasMethod(): boolean {
    return (this.#seenPseudo & methodBit) !== 0;
  }

  begin(kind: BlockKind): void {
    this.#kind = kind;
    this.#problem = '';
    this.#fields = [];
    this.#seenPseudo = 0;
    this.#hasRegular = false;
    this.#method = '';
    this.#scheme = 'http';
    this.#authority = '';
    this.#path = '';
    this.#protocol = '';
    this.#host = '';
    this.#contentLength = -1;
    this.#acceptsTrailers = false;
    this.#expectContinue = false;
    this.#cookieAt = -1;
  }

  onEntry(entry: HeaderEntry): void {
    const act = entry.action;
    if (act === action.pass) {
      this.#hasRegular = true;
      this.#fields.push(entry.field as Field);
    } else if (act >= action.firstPseudo) this.#onPseudo(entry);
    else if (this.#kind === 'trailers') this.#onTrailer(entry);
    else this.#onSpecial(entry);
  }

  #onPseudo(entry: HeaderEntry): void {
    const mask = bit(entry.action);
    if ((allowedPseudo[this.#kind] & mask) === 0) this.#fail(`${entry.name.text} in ${this.#kind}`);
    if (this.#hasRegular) this.#fail(`${entry.name.text} after a field`);
    if ((this.#seenPseudo & mask) !== 0) this.#fail(`two ${entry.name.text}`);
    this.#seenPseudo |= mask;
    switch (entry.action) {
      case action.method:
        this.#method = entry.value;
        break;
      case action.scheme:
        this.#scheme = entry.value as 'http' | 'https';
        break;
      case action.authority:
        this.#authority = entry.value;
        break;
      case action.path:
        this.#path = entry.value;
        break;
      case action.protocol:
        this.#protocol = entry.value;
        break;
      default:
        this.#status = entry.number;
    }
  }

  #onSpecial(entry: HeaderEntry): void {
    this.#hasRegular = true;
    switch (entry.action) {
      case action.refuse:
        this.#fail(entry.problem);
        break;
      case action.contentLength:
        if (this.#contentLength !== -1) this.#fail('two content-length');
        this.#contentLength = entry.number;
        break;
      case action.te:
        this.#acceptsTrailers = true;
        break;
      case action.expect:
        this.#expectContinue = true;
        break;
      case action.host:
        if (this.#host !== '') this.#fail('two host');
        this.#host = entry.value;
        break;
      case action.cookie:
        this.#onCookie(entry);
        break;
      case action.own:
        // Only a sidecar's word counts; what an application sends under our names is dropped.
        if (this.#isLink) this.#fields.push(entry.field as Field);
        break;
      default:
        this.#fields.push(entry.field as Field);
    }
  }

  /** RFC 9113 §8.2.3: crumbs are one field again for everybody else. */
  #onCookie(entry: HeaderEntry): void {
    if (this.#cookieAt === -1) {
      this.#cookieAt = this.#fields.length;
      this.#cookies = entry.value;
      this.#fields.push(entry.field as Field);
    } else if (this.#cookies === '') this.#cookies = entry.value;
    else if (entry.value !== '') this.#cookies = `${this.#cookies}; ${entry.value}`;
  }

  /** RFC 9110 §6.5.1: framing is an error in trailers, what else belongs into the head is dropped. */
  #onTrailer(entry: HeaderEntry): void {
    if (entry.action === action.refuse) this.#fail(entry.problem);
    else if (entry.action === action.contentLength) this.#fail('content-length in trailers');
  }

  #fail(problem: string): void {
    if (this.#problem === '') this.#problem = problem;
  }

  #takeFields(): Field[] {
    const fields = this.#fields;
    if (this.#cookieAt !== -1) {
      const first = fields[this.#cookieAt] as Field;
      if (first.value !== this.#cookies) fields[this.#cookieAt] = new Field('cookie', this.#cookies);
    }
    this.#fields = [];
    return fields;
  }

  /** The request, or undefined with `problem` set. RFC 9113 §8.3.1, §8.5; RFC 8441 §4. */
  request(end: boolean): RequestHead | undefined {
    const isConnect = this.#method === 'CONNECT';
    const isTunnel = isConnect && this.#protocol === '';
    if (this.#method === '') this.#fail('no :method');
    else if (isTunnel) this.#checkTunnel(this.#seenPseudo);
    else this.#checkTarget(this.#seenPseudo, isConnect);
    if (this.#host !== '' && this.#authority !== '' && this.#host !== this.#authority) {
      this.#fail('host differs from :authority');
    }
    if (this.#contentLength > 0) this.#checkLength(end, isConnect);
    if (this.#problem !== '') return undefined;
    return {
      // A request for another protocol looks the same whichever version brought it.
      method: isTunnel || !isConnect ? this.#method : 'GET',
      scheme: this.#scheme,
      authority: this.#authority === '' ? this.#host : this.#authority,
      path: this.#path,
      fields: this.#takeFields(),
      contentLength: isConnect ? -1 : this.#contentLength,
      protocol: this.#protocol === '' ? undefined : this.#protocol,
      // Who sends no content has nothing to wait with (RFC 9110 §10.1.1).
      expectContinue: this.#expectContinue && !end && this.#contentLength !== 0,
      acceptsTrailers: this.#acceptsTrailers,
    };
  }

  #checkLength(end: boolean, isConnect: boolean): void {
    if (end) this.#fail('content-length without a body');
    // RFC 9110 §9.3.6: what follows a CONNECT is no content.
    else if (isConnect) this.#fail('CONNECT with content-length');
  }

  #checkTunnel(seen: number): void {
    if ((seen & (schemeBit | pathBit)) !== 0) this.#fail('CONNECT with :scheme or :path');
    if ((seen & authorityBit) === 0) this.#fail('CONNECT without :authority');
  }

  #checkTarget(seen: number, isConnect: boolean): void {
    if ((seen & schemeBit) === 0) this.#fail('no :scheme');
    if ((seen & pathBit) === 0) this.#fail('no :path');
    if ((seen & protocolBit) !== 0 && !isConnect) this.#fail(':protocol without CONNECT');
    if (this.#path === '*' && this.#method !== 'OPTIONS') this.#fail(':path * without OPTIONS');
    if (this.#authority === '' && this.#host === '') this.#fail('no :authority');
  }

  /** The response's head, 1xx included, or undefined with `problem` set. RFC 9113 §8.3.2. */
  response(): ResponseHead | undefined {
    if ((this.#seenPseudo & statusBit) === 0) this.#fail('no :status');
    else if (this.#status > 599) this.#fail(`:status ${this.#status}`);
    // RFC 9113 §8.6: 101 has no meaning here.
    else if (this.#status === 101) this.#fail(':status 101');
    if (this.#problem !== '') return undefined;
    return { status: this.#status, fields: this.#takeFields(), contentLength: this.#contentLength };
  }

  /** The trailers, or undefined with `problem` set. */
  trailers(): Field[] | undefined {
    if (this.#problem !== '') return undefined;
    return this.#takeFields();
  }
}
