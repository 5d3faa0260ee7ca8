// hot: one per request with a body; its methods run for each chunk.
/**
 * The body of one request on its way to the upstream: kept until there is a connection, and as long as it is short and
 * nothing was answered, because the request may have to be sent again.
 */
import type { Buffer } from 'node:buffer';
import type { ClientStream, ServerStream } from '../codec/codec.ts';
import type { Field } from '../codec/field.ts';
import { retryLimits } from './retry.ts';

export class RequestBody {
  /** Whether all of it has come. */
  isEnded = false;
  /** Whether all that has come is kept. */
  mayReplay = true;
  readonly #stream: ServerStream;
  #kept: Buffer[] | undefined;
  /** What was kept since the request began; it stays when that is let go. */
  #keptBytes = 0;
  #trailers: readonly Field[] | undefined;
  #isPaused = false;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  /** Whether it has ended with nothing in it. */
  get isEmpty(): boolean {
    return this.isEnded && this.#keptBytes === 0 && this.#trailers === undefined;
  }

  take(chunk: Buffer, upstream: ClientStream | undefined): void {
    if (this.mayReplay || upstream === undefined) this.#keep(chunk, upstream);
    if (upstream === undefined) {
      if (this.#keptBytes >= retryLimits.maxReplayBytes) this.#pause();
    } else if (!upstream.sendData(chunk)) {
      this.#pause();
    }
  }

  end(trailers: readonly Field[] | undefined, upstream: ClientStream | undefined): void {
    this.isEnded = true;
    this.#trailers = trailers;
    upstream?.sendEnd(trailers);
  }

  /** Gives what has come so far to an upstream that has nothing of it yet. */
  sendTo(upstream: ClientStream): void {
    const kept = this.#kept;
    let isFull = false;
    if (kept !== undefined) for (const chunk of kept) if (!upstream.sendData(chunk)) isFull = true;
    if (!this.mayReplay) this.#kept = undefined;
    if (this.isEnded) upstream.sendEnd(this.#trailers);
    else if (isFull) this.#pause();
    else this.resume();
  }

  /** The upstream takes more. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#stream.resumeRequest();
  }

  /** It will not be sent again. */
  letGo(): void {
    this.mayReplay = false;
    this.#kept = undefined;
  }

  #keep(chunk: Buffer, upstream: ClientStream | undefined): void {
    this.#kept ??= [];
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.#keptBytes > retryLimits.maxReplayBytes && upstream !== undefined) this.letGo();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#stream.pauseRequest();
  }
}
