// hot: every response (bench/micro/http1-parse.ts).
/** A response head from its bytes, checked and made neutral: RFC 9112 §4, §6.3. */
import type { ResponseHead } from '../codec.ts';
import { fieldKind } from '../field.ts';
import type { FieldMemo } from '../field-memo.ts';
import { cr, lf, nine, space, valueByte, zero } from './chars.ts';
import { connectionOptionsOf, membersOf, withoutNominated } from './connection-options.ts';
import { FieldLines } from './field-lines.ts';
import { chunked, framingOf, noLength } from './framing.ts';
import { limits } from './limits.ts';
import { Refusal } from './refusal.ts';
import { upgradeOffer, upgradeRequired } from './upgrade-offer.ts';

/** What the answer is an answer to. */
export interface Asked {
  readonly method: string;
  readonly protocol: string | undefined;
}

/** The body lasts until the upstream closes: RFC 9112 §6.3 (8). */
export const untilClose = -3;

/** 'HTTP/1.1 200' */
const statusBytes = 12;
const versionStart = Buffer.from('HTTP/1.', 'latin1');

/** One parser serves all connections that share a memo. What it found stands in its properties until the next call. */
export class ResponseParser {
  /** Set by a `parse` that found a whole head; whoever takes it keeps it. */
  head: ResponseHead = { status: 0, fields: [], contentLength: -1 };
  /** The length of the body (0: none), `chunked` or `untilClose`; nothing for 1xx. */
  framing = 0;
  /** Whether the upstream closes after this response. */
  close = false;
  readonly #lines: FieldLines;
  #minorVersion = 1;
  #status = 0;

  constructor(memo: FieldMemo) {
    this.#lines = new FieldLines(memo);
  }

  /** The position after the head that begins at `start`, or -1 where it is not complete. Throws a `Refusal`. */
  parse(bytes: Buffer, start: number, asked: Asked): number {
    const fieldsAt = this.#statusLine(bytes, start);
    const end = fieldsAt < 0 ? -1 : this.#lines.parse(bytes, fieldsAt);
    if ((end < 0 ? bytes.length : end) - start > limits.maxHeadBytes) {
      throw new Refusal(431, `head longer than ${limits.maxHeadBytes} bytes`);
    }
    if (end > 0) this.#interpret(asked);
    return end;
  }

  #statusLine(bytes: Buffer, start: number): number {
    const known = Math.min(bytes.length - start, versionStart.length);
    for (let i = 0; i < known; i++) {
      if (bytes[start + i] !== versionStart[i]) throw new Refusal(400, 'status line');
    }
    let at = start + statusBytes;
    if (at >= bytes.length) return -1;
    const minor = bytes[start + 7] as number;
    if (minor < zero || minor > nine || bytes[start + 8] !== space) {
      throw new Refusal(400, 'HTTP version of the response');
    }
    // RFC 9110 §2.5: a higher minor version is taken for the highest that we know.
    this.#minorVersion = minor === zero ? 0 : 1;
    this.#status = statusAt(bytes, start + 9);
    // The space before an absent reason is often forgotten, and nothing can be misread without it.
    if (bytes[at] !== space && bytes[at] !== cr) throw new Refusal(400, 'status is not three digits');
    const end = Math.min(bytes.length, start + limits.maxStartLineBytes);
    while (at < end && valueByte[bytes[at] as number] === 1) at++;
    if (at >= start + limits.maxStartLineBytes) throw new Refusal(400, 'status line too long');
    if (at + 1 >= bytes.length) return -1;
    if (bytes[at] !== cr || bytes[at + 1] !== lf) throw new Refusal(400, 'end of the status line');
    return at + 2;
  }

  #interpret(asked: Asked): void {
    const lines = this.#lines;
    const status = this.#status;
    const options = connectionOptionsOf(lines);
    const framing = framingOf(lines, this.#minorVersion);
    // Not even a keep-alive from HTTP/1.0 is relied on.
    this.close = options.close || this.#minorVersion === 0;
    this.head = {
      status,
      fields: withoutNominated(lines.fields, options.nominated),
      contentLength: framing < 0 || status === 204 || status < 200 ? -1 : framing,
    };
    if (status === upgradeRequired && lines.has(fieldKind.upgrade)) {
      this.head.fields.push(upgradeOffer(lines.list(fieldKind.upgrade)));
    }
    if (status === 101) this.#checkSwitch(asked, options.upgrade);
    // RFC 9112 §6.3 (1): these have no body whatever their fields say. But who announces one in a 204 may well send it.
    if (status === 204 && framing !== noLength && framing !== 0) this.close = true;
    if (asked.method === 'HEAD' || status === 204 || status === 304 || status < 200) this.framing = 0;
    else if (framing === noLength) {
      this.framing = untilClose;
      this.close = true;
    } else this.framing = framing === chunked ? chunked : framing;
  }

  #checkSwitch(asked: Asked, upgrade: boolean): void {
    const lines = this.#lines;
    const to = upgrade && lines.has(fieldKind.upgrade) ? membersOf(lines.list(fieldKind.upgrade)) : [];
    if (asked.protocol === undefined || !to.includes(asked.protocol))
      throw new Refusal(400, '101 without being asked');
  }
}

/** 100 to 599. */
function statusAt(bytes: Buffer, at: number): number {
  let status = 0;
  for (let i = at; i < at + 3; i++) {
    const digit = bytes[i] as number;
    if (digit < zero || digit > nine) throw new Refusal(400, 'status is not three digits');
    status = status * 10 + digit - zero;
  }
  if (status < 100 || status > 599) throw new Refusal(400, `status ${status}`);
  return status;
}
