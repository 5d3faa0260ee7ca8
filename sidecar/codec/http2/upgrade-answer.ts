/**
 * How a request for another protocol is answered over HTTP/2, where any 2xx accepts it (RFC 8441 §5). An application of
 * HTTP/1.1 that answers 200 in place of 101 has not: it may leave the wish alone (RFC 9110 §7.8). That is said as 502, and
 * on a link a field of the mesh's own keeps what it was for a caller that speaks HTTP/1.1 too.
 */
import type { ResponseHead } from '../codec.ts';
import { Field, fieldValue } from '../field.ts';

const refused = 502;
const carrier = 'heddle-status';

export function asUpgradeAnswer(head: ResponseHead): ResponseHead {
  const { status, fields, contentLength } = head;
  if (!isSuccess(status)) return head;
  return { status: refused, fields: [...fields, new Field(carrier, `${status}`)], contentLength };
}

/** Gives an answer that came over a link the status that it had. */
export function restoreUpgradeAnswer(head: ResponseHead): void {
  if (head.status !== refused) return;
  const status = Number(fieldValue(head.fields, carrier) ?? refused);
  if (isSuccess(status)) head.status = status;
}

function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}
