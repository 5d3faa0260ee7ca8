// hot: one id per request that came without one.
/**
 * Request ids of this process: 16 random hexadecimal digits that the process drew at its start and a counter.
 * They name requests, they are no secrets.
 */
import { randomBytes } from 'node:crypto';

/** The last two digits, which are looked up: writing all of a number's digits anew costs more than the rest of a request's id. */
const lastDigits = Array.from({ length: 256 }, (_, number) => number.toString(16).padStart(2, '0'));
const headLimit = 2 ** 24;

export class RequestIds {
  readonly #prefix: string;
  #headCount = 0;
  /** All but the last two digits. */
  #head: string;
  #last = 0;

  constructor(prefix: string = randomBytes(8).toString('hex')) {
    this.#prefix = prefix;
    this.#head = this.#newHead();
  }

  /** 32 hexadecimal digits in groups, like `5f0c9b1e2d3a4c5b-00000000000001a4`. */
  next(): string {
    this.#last++;
    if (this.#last === lastDigits.length) {
      this.#last = 0;
      this.#headCount = (this.#headCount + 1) % headLimit;
      this.#head = this.#newHead();
    }
    return this.#head + lastDigits[this.#last];
  }

  #newHead(): string {
    return `${this.#prefix}-${this.#headCount.toString(16).padStart(14, '0')}`;
  }
}
