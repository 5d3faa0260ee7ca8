/**
 * Which protocol a downstream speaks, by its first bytes. A read, a pure decision, and the bytes put back, so that
 * whoever takes the socket afterwards sees them as if nothing had happened.
 */
import type { Socket } from 'node:net';
import { type TimerOwner, type TimerWheel, WheelTimer } from './timer-wheel.ts';

/** `unknown` also where the client waits for the server to speak first. */
export type Detected = 'tls' | 'http2' | 'http1' | 'unknown';

/** How long a client may keep silent before it counts as `unknown`. */
export const detectMs = 10_000;
/** A method longer than this is not taken for HTTP (RFC 9110 names none above 17). */
const maxMethodBytes = 32;
/** RFC 9113 §3.4. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const tlsHandshake = 0x16;
const tlsMajor = 3;
const sp = 0x20;
const cr = 0x0d;
const lf = 0x0a;

/** The protocol of a stream that begins with `bytes`, or undefined while it could still be several. */
export function detectProtocol(bytes: Uint8Array): Detected | undefined {
  const first = bytes[0];
  if (first === undefined) return undefined;
  if (first === tlsHandshake) {
    if (bytes.length < 2) return undefined;
    return bytes[1] === tlsMajor ? 'tls' : 'unknown';
  }
  const common = commonLength(bytes, preface);
  if (common === preface.length) return 'http2';
  if (common === bytes.length) return undefined;
  return detectHttp1(bytes);
}

/** A token and a space; empty lines before a request line are HTTP too (RFC 9112 §2.2). */
function detectHttp1(bytes: Uint8Array): Detected | undefined {
  if (bytes[0] === cr || bytes[0] === lf) return 'http1';
  const end = Math.min(bytes.length, maxMethodBytes + 1);
  for (let i = 0; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte === sp) return i === 0 ? 'unknown' : 'http1';
    if (!isMethodByte(byte)) return 'unknown';
  }
  return bytes.length > maxMethodBytes ? 'unknown' : undefined;
}

/** Letters, digits, `-` and `_`: narrower than a token, but every method in use, and binary protocols fall out. */
function isMethodByte(byte: number): boolean {
  return (
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x5f
  );
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}

/**
 * Reads until the protocol is known and calls back once with the bytes put back into the socket, which is paused.
 * A socket that closes before is never reported.
 */
export function detectSocket(
  socket: Socket,
  timers: TimerWheel,
  onDetected: (protocol: Detected, socket: Socket) => void,
  silenceMs: number = detectMs,
): void {
  new Detection(socket, timers, onDetected, silenceMs);
}

class Detection implements TimerOwner {
  readonly #socket: Socket;
  readonly #timers: TimerWheel;
  readonly #onDetected: (protocol: Detected, socket: Socket) => void;
  readonly #timer = new WheelTimer(this);
  #bytes: Buffer | undefined = undefined;

  constructor(
    socket: Socket,
    timers: TimerWheel,
    onDetected: (protocol: Detected, socket: Socket) => void,
    silenceMs: number,
  ) {
    this.#socket = socket;
    this.#timers = timers;
    this.#onDetected = onDetected;
    timers.arm(this.#timer, silenceMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#stop);
  }

  onTimer(): void {
    this.#report('unknown');
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = this.#bytes === undefined ? chunk : Buffer.concat([this.#bytes, chunk]);
    const detected = detectProtocol(this.#bytes);
    if (detected !== undefined) this.#report(detected);
  };

  /** Nothing more will come: what there is belongs to nobody. */
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

  #report(protocol: Detected): void {
    this.#stop();
    this.#socket.pause();
    if (this.#bytes !== undefined) this.#socket.unshift(this.#bytes);
    this.#onDetected(protocol, this.#socket);
  }
}
