// hot: add and remove run once per request.
/** The exchanges in progress, as a list threaded through the exchanges themselves. */
import type { Exchange } from './exchange.ts';

export class LiveList {
  #first: Exchange | undefined;
  size = 0;

  add(exchange: Exchange): void {
    const first = this.#first;
    exchange.next = first;
    if (first !== undefined) first.previous = exchange;
    this.#first = exchange;
    this.size++;
  }

  remove(exchange: Exchange): void {
    const { previous, next } = exchange;
    if (previous !== undefined) previous.next = next;
    else this.#first = next;
    if (next !== undefined) next.previous = previous;
    exchange.previous = undefined;
    exchange.next = undefined;
    this.size--;
  }

  /** Visits every exchange; the visitor may end the one it is shown. */
  forEach(visit: (exchange: Exchange) => void): void {
    for (let exchange = this.#first; exchange !== undefined; ) {
      const { next } = exchange;
      visit(exchange);
      exchange = next;
    }
  }
}
