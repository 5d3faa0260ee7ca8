// hot: once per header block.
/** Writes neutral heads as HPACK blocks; the framing fields are derived here. */
import type { RequestHead, ResponseHead } from '../codec.ts';
import { Field, fieldKind } from '../field.ts';
import type { HpackEncoder } from './hpack/encoder.ts';
import type { OutBuffer } from './out-buffer.ts';

const teTrailers = new Field('te', 'trailers');
const expectContinue = new Field('expect', '100-continue');

/** Writes the block of a request. `protocol` makes it an extended CONNECT (RFC 8441 §4). */
export function writeRequest(
  out: OutBuffer,
  encoder: HpackEncoder,
  head: RequestHead,
  isLink: boolean,
): void {
  encoder.begin(out);
  const { protocol } = head;
  const isTunnel = head.method === 'CONNECT' && protocol === undefined;
  encoder.method(out, protocol === undefined ? head.method : 'CONNECT');
  if (!isTunnel) encoder.scheme(out, head.scheme);
  encoder.authority(out, head.authority);
  if (!isTunnel) encoder.path(out, head.path);
  if (protocol !== undefined) encoder.protocol(out, protocol);
  writeFields(out, encoder, head.fields, isLink);
  if (head.contentLength >= 0 && mayHaveLength(head, isTunnel)) {
    encoder.contentLength(out, head.contentLength);
  }
  if (head.acceptsTrailers) encoder.field(out, teTrailers);
  if (head.expectContinue) encoder.field(out, expectContinue);
}

/** A request without a body says nothing, except where the method makes one expect a body (RFC 9110 §8.6). */
function mayHaveLength(head: RequestHead, isTunnel: boolean): boolean {
  if (isTunnel || head.protocol !== undefined) return false;
  return head.contentLength > 0 || (head.method !== 'GET' && head.method !== 'HEAD');
}

/** Writes the block of a response; the status is what goes on the wire: 200 where the head says 101. */
export function writeResponse(
  out: OutBuffer,
  encoder: HpackEncoder,
  head: ResponseHead,
  isTunnel: boolean,
  isLink: boolean,
): void {
  encoder.begin(out);
  encoder.status(out, head.status === 101 ? 200 : head.status);
  writeFields(out, encoder, head.fields, isLink);
  // RFC 9110 §8.6: no length in 1xx, 204 and answers to CONNECT.
  if (head.contentLength >= 0 && head.status >= 200 && head.status !== 204 && !isTunnel) {
    encoder.contentLength(out, head.contentLength);
  }
}

export function writeTrailers(
  out: OutBuffer,
  encoder: HpackEncoder,
  trailers: readonly Field[],
  isLink: boolean,
): void {
  encoder.begin(out);
  writeFields(out, encoder, trailers, isLink);
}

function writeFields(out: OutBuffer, encoder: HpackEncoder, fields: readonly Field[], isLink: boolean): void {
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as Field;
    if (!isLink && (field.kind === fieldKind.heddle || field.kind === fieldKind.heddlePort)) continue;
    encoder.field(out, field);
  }
}
