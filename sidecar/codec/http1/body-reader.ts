// hot: every body.
/** Reads the bodies of one connection, one after the other, by whatever framing their heads declared. */
import type { Field } from '../field.ts';
import type { FieldMemo } from '../field-memo.ts';
import { ChunkedBody, type ChunkSink } from './chunked-body.ts';
import { chunked } from './framing.ts';

export class BodyReader {
  /** Bytes still to come; -1 where that is not known. */
  #left = 0;
  #chunks: ChunkedBody | undefined = undefined;

  /** `framing` is a length, `chunked` or `untilClose`. Returns whether there is a body at all. */
  begin(framing: number, memo: FieldMemo): boolean {
    this.#left = framing >= 0 ? framing : -1;
    this.#chunks = framing === chunked ? new ChunkedBody(memo) : undefined;
    return framing !== 0;
  }

  get isEnded(): boolean {
    return this.#left === 0 || this.#chunks?.isEnded === true;
  }

  /** Whether the peer's closing ends the body rather than cutting it. */
  get endsByClose(): boolean {
    return this.#left < 0 && this.#chunks === undefined;
  }

  get trailers(): readonly Field[] | undefined {
    return this.#chunks?.trailers;
  }

  /** Takes bytes from `at` on until they or the body end; returns the position it came to. Throws a `Refusal`. */
  feed(bytes: Buffer, at: number, sink: ChunkSink): number {
    if (this.#chunks !== undefined) return this.#chunks.feed(bytes, at, sink);
    const to = this.#left < 0 ? bytes.length : Math.min(bytes.length, at + this.#left);
    if (this.#left >= 0) this.#left -= to - at;
    if (to > at) sink.onBodyData(at === 0 && to === bytes.length ? bytes : bytes.subarray(at, to));
    return to;
  }
}
