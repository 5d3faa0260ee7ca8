/** Messages on a byte stream: four bytes of length, big-endian, then the message. No I/O. */
import { MeshError } from '../kit/errors.ts';
import { maxMessageBytes } from './protocol.ts';

const headBytes = 4;

/** `message` with its length before it. */
export function encodeFrame(message: Uint8Array): Buffer {
  if (message.length > maxMessageBytes) {
    throw new MeshError('limit_exceeded', `message of ${message.length} bytes, at most ${maxMessageBytes}`, {
      origin: 'local',
    });
  }
  const frame = Buffer.allocUnsafe(headBytes + message.length);
  frame.writeUInt32BE(message.length, 0);
  frame.set(message, headBytes);
  return frame;
}

/** Cuts a byte stream into messages, however the chunks fall. It holds at most one unfinished message. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #held = 0;
  /** Length of the message under way; -1 while its head is incomplete. */
  #length = -1;

  constructor(maxBytes: number = maxMessageBytes) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of an unfinished message; not 0 at the end of the stream means it was cut off. */
  get held(): number {
    return this.#held;
  }

  /** The messages that `chunk` completes. Throws `malformed_message` where a length is above the limit. */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    for (;;) {
      if (this.#length < 0) {
        if (this.#held < headBytes) return messages;
        this.#length = this.#take(headBytes).readUInt32BE(0);
        if (this.#length > this.#maxBytes) {
          throw new MeshError(
            'malformed_message',
            `peer announces a message of ${this.#length} bytes, at most ${this.#maxBytes}`,
            { origin: 'upstream' },
          );
        }
      }
      if (this.#held < this.#length) return messages;
      messages.push(this.#take(this.#length));
      this.#length = -1;
    }
  }

  #take(bytes: number): Buffer {
    const all = this.#chunks.length === 1 ? toBuffer(this.#chunks[0]) : Buffer.concat(this.#chunks);
    this.#chunks = all.length > bytes ? [all.subarray(bytes)] : [];
    this.#held -= bytes;
    return all.subarray(0, bytes);
  }
}

function toBuffer(chunk: Uint8Array | undefined): Buffer {
  if (chunk === undefined) return Buffer.alloc(0);
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
