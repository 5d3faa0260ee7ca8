// hot: one id per request that came without one.
/**
 * Request ids of this process: 16 random hexadecimal digits that the process drew at its start and a counter.
 * They name requests, they are no secrets.
 */
import { randomBytes } from 'node:crypto';

const counterLimit = 2 ** 32;

export class RequestIds {
  readonly #prefix: string;
  #counter = 0;

  constructor(prefix: string = randomBytes(8).toString('hex')) {
    this.#prefix = prefix;
  }

  /** 32 hexadecimal digits in groups, like `5f0c9b1e2d3a4c5b-00000000000001a4`. */
  next(): string {
    this.#counter = (this.#counter + 1) % counterLimit;
    return `${this.#prefix}-${this.#counter.toString(16).padStart(16, '0')}`;
  }
}
