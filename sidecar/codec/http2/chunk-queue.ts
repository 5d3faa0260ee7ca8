// hot: one per stream with a body.
/** Chunks in order. Most bodies are one chunk, so the first has a place of its own and costs no array. */
export class ChunkQueue {
  bytes = 0;
  #first: Buffer | undefined = undefined;
  #rest: (Buffer | undefined)[] | undefined = undefined;
  #restAt = 0;

  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#rest === undefined) this.#rest = [chunk];
    else this.#rest.push(chunk);
  }

  get first(): Buffer | undefined {
    return this.#first;
  }

  /** Removes the first `count` bytes of the first chunk. */
  consume(count: number): void {
    const chunk = this.#first;
    if (chunk === undefined) return;
    this.bytes -= count;
    if (count < chunk.length) {
      this.#first = chunk.subarray(count);
      return;
    }
    const rest = this.#rest;
    if (rest === undefined) {
      this.#first = undefined;
      return;
    }
    this.#first = rest[this.#restAt];
    // A queue that never runs empty would otherwise keep what was taken from it.
    rest[this.#restAt++] = undefined;
    if (this.#restAt >= rest.length) {
      this.#rest = undefined;
      this.#restAt = 0;
    } else if (this.#restAt >= 256) {
      rest.splice(0, this.#restAt);
      this.#restAt = 0;
    }
  }

  clear(): void {
    this.bytes = 0;
    this.#first = undefined;
    this.#rest = undefined;
    this.#restAt = 0;
  }
}
