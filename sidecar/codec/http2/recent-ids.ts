// hot: one store per stream.
/**
 * The ids of streams that ended last, to tell a peer's mistake from a frame that crossed our reset:
 * only streams that the peer itself ended are in here.
 */
const capacity = 64;

export class RecentIds {
  readonly #ids = new Int32Array(capacity);
  #at = 0;

  add(id: number): void {
    this.#ids[this.#at] = id;
    this.#at = (this.#at + 1) % capacity;
  }

  has(id: number): boolean {
    return this.#ids.includes(id);
  }
}
