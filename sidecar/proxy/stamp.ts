// hot: once per response.
/** What a hop adds of its own to the messages that it forwards: Date where it is missing, Via where asked for. */
import type { Clock } from '../../kit/clock.ts';
import type { HttpVersion } from '../codec/codec.ts';
import { Field, fieldKind } from '../codec/field.ts';

/** The Date field of this second; one object as long as it is right. */
export class DateStamp {
  readonly #clock: Clock;
  #second = -1;
  #field = new Field('date', '');

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get field(): Field {
    const second = Math.floor(this.#clock.wallMs() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#field = new Field('date', new Date(second * 1000).toUTCString());
    }
    return this.#field;
  }

  /** Who receives a response without a Date says when that was (RFC 9110 §6.6.1). */
  addTo(fields: Field[]): void {
    for (let at = 0; at < fields.length; at++) if ((fields[at] as Field).kind === fieldKind.date) return;
    fields.push(this.field);
  }
}

const http1Via = new Field('via', '1.1 heddle');
const http2Via = new Field('via', '2 heddle');

/** Which version a message came in, and who took it (RFC 9110 §7.6.3). */
export function viaFor(version: HttpVersion): Field {
  return version === 'http2' ? http2Via : http1Via;
}
