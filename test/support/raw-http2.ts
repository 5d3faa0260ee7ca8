/** A client that writes HTTP/2 frames to a socket by hand and keeps what comes. */
import { connect, type Socket } from 'node:net';
import type { Scope } from './cleanup.ts';
import { defer } from './cleanup.ts';
import { type Frame, preface, readFrames, settings } from './http2-frames.ts';

export const frameKind = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7 } as const;

export class RawHttp2Client {
  closed = false;
  readonly #socket: Socket;
  readonly #feed = new FrameFeed();
  /** Whole frames so far. */
  readonly frames: Frame[] = [];

  /** Connects, sends the preface, and acknowledges nothing that it is not told to. */
  constructor(t: Scope, port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.closed = true;
    });
    this.#socket.on('data', (chunk: Buffer) => {
      this.frames.push(...this.#feed.take(chunk));
    });
    this.send(preface, settings(), settings([], 1));
    defer(t, () => {
      this.#socket.destroy();
    });
  }

  send(...frames: readonly Buffer[]): void {
    this.#socket.write(Buffer.concat(frames));
  }

  /** The code of the reset of a stream, or undefined. */
  resetOf(stream: number): number | undefined {
    const reset = this.frames.find((frame) => frame.type === frameKind.reset && frame.stream === stream);
    return reset?.payload.readUInt32BE(0);
  }
}

/** Takes bytes as they come and gives whole frames. */
export class FrameFeed {
  #rest: Buffer = Buffer.alloc(0);

  take(chunk: Buffer): Frame[] {
    const bytes = Buffer.concat([this.#rest, chunk]);
    const end = wholeLength(bytes);
    this.#rest = bytes.subarray(end);
    return readFrames(bytes.subarray(0, end));
  }
}

/** Up to where the frames are whole; a client's preface counts. */
function wholeLength(bytes: Buffer): number {
  let at = bytes.subarray(0, preface.length).equals(preface) ? preface.length : 0;
  while (at + 9 <= bytes.length && at + 9 + bytes.readUIntBE(at, 3) <= bytes.length) {
    at += 9 + bytes.readUIntBE(at, 3);
  }
  return at;
}
