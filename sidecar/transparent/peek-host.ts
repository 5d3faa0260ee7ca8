/**
 * The host that an HTTP/1.1 client names, read without taking the bytes away: where it is none of ours the
 * connection goes on untouched, and nothing of it may have been lost.
 */
import type { Socket } from 'node:net';
import { parseAuthority } from '../codec/http1/authority.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../net/timer-wheel.ts';

/** `absent` also where it is none that could be looked up. */
export type PeekedHost = { readonly authority: string } | 'absent';

/** A head that is longer before its Host is not waited for, nor one that takes longer. */
export const maxPeekBytes = 16 * 1024;
export const peekMs = 5_000;

/** The value of Host in the head that begins with `bytes`, or undefined while more of it could follow. */
export function hostIn(bytes: Buffer): PeekedHost | undefined {
  const lines = bytes.toString('latin1').split('\r\n');
  const unfinished = lines.pop();
  // The first is the request line; empty ones may stand before it (RFC 9112 §2.2).
  const start = lines.findIndex((line) => line !== '');
  if (start !== -1) {
    for (const line of lines.slice(start + 1)) {
      if (line === '') return 'absent';
      const [, value] = /^host:[ \t]*(.*?)[ \t]*$/i.exec(line) ?? [];
      if (value === undefined) continue;
      const authority = parseAuthority(value);
      return authority === undefined ? 'absent' : { authority };
    }
  }
  return unfinished === undefined || bytes.length >= maxPeekBytes ? 'absent' : undefined;
}

/** Calls back once with the socket paused and its bytes put back; not at all where it closes before. */
export function peekHost(
  socket: Socket,
  timers: TimerWheel,
  onPeeked: (host: PeekedHost, socket: Socket) => void,
): void {
  new Peek(socket, timers, onPeeked);
}

class Peek implements TimerOwner {
  readonly #socket: Socket;
  readonly #timers: TimerWheel;
  readonly #onPeeked: (host: PeekedHost, socket: Socket) => void;
  readonly #timer = new WheelTimer(this);
  #bytes: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, timers: TimerWheel, onPeeked: (host: PeekedHost, socket: Socket) => void) {
    this.#socket = socket;
    this.#timers = timers;
    this.#onPeeked = onPeeked;
    timers.arm(this.#timer, peekMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#stop);
    socket.resume();
  }

  onTimer(): void {
    this.#report('absent');
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const host = hostIn(this.#bytes);
    if (host !== undefined) this.#report(host);
  };

  /** Half a head and no more to come. */
  readonly #onEnd = (): void => {
    this.#stop();
    this.#socket.destroy();
  };

  readonly #stop = (): void => {
    this.#timers.disarm(this.#timer);
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#stop);
  };

  #report(host: PeekedHost): void {
    this.#stop();
    this.#socket.pause();
    if (this.#bytes.length > 0) this.#socket.unshift(this.#bytes);
    this.#onPeeked(host, this.#socket);
  }
}
