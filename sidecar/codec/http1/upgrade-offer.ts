/**
 * What a 426 asks its client to become (RFC 9110 §15.5.22 wants it to be said). `Upgrade` is of one hop and HTTP/2 has
 * none (RFC 9113 §8.2.2), so between the hops that speak HTTP/1.1 it is a field of the mesh's own.
 */
import type { ResponseHead } from '../codec.ts';
import { Field, fieldValue } from '../field.ts';

export const upgradeRequired = 426;
const carrier = 'heddle-upgrade';

/** The field that carries the protocols of an `Upgrade` field. */
export function upgradeOffer(protocols: string): Field {
  return new Field(carrier, protocols);
}

/** The protocols that a response brought along, if any. */
export function offeredProtocols(head: ResponseHead): string | undefined {
  return fieldValue(head.fields, carrier);
}
