/**
 * Which protocol a downstream speaks, by its first bytes. A read, a pure decision, and the bytes put back, so that
 * whoever takes the socket afterwards sees them as if nothing had happened.
 */
import type { Socket } from 'node:net';
import { MeshError } from '../../kit/errors.ts';
import { type ClientHello, ClientHelloReader } from './client-hello.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from './timer-wheel.ts';

/** `unknown` also where the client waits for the server to speak first. */
export type Detected = 'tls' | 'http2' | 'http1' | 'unknown';

export const detectionLimits = {
  /** How long a client may keep silent before it counts as `unknown`, or where only HTTP is expected is closed. */
  detectMs: 10_000,
};
/** A method longer than this is not taken for HTTP (RFC 9110 names none above 17). */
const maxMethodBytes = 32;
/** RFC 9110 §9.3 and RFC 5789. After one of these nothing else than HTTP is expected. */
const httpMethods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];
/** A line longer than this, and not yet at its end, is HTTP's: others' commands are short, targets are not. */
const maxCommandBytes = 1024;
/** RFC 9113 §3.4. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const tlsHandshake = 0x16;
const tlsMajor = 3;
const sp = 0x20;
const cr = 0x0d;
const lf = 0x0a;

/**
 * The protocol of a stream that begins with `bytes`, or undefined while it could still be several. With `onlyHttp`
 * whatever can be neither TLS nor HTTP/2 is HTTP/1.1, to be judged by its codec.
 */
export function detectProtocol(bytes: Uint8Array, onlyHttp = false): Detected | undefined {
  const first = bytes[0];
  if (first === undefined) return undefined;
  if (first === tlsHandshake) {
    if (bytes.length < 2) return undefined;
    return bytes[1] === tlsMajor ? 'tls' : 'unknown';
  }
  const common = commonLength(bytes, preface);
  if (common === preface.length) return 'http2';
  if (common === bytes.length) return undefined;
  return onlyHttp ? 'http1' : detectHttp1(bytes);
}

/** A method and a space; empty lines before a request line are HTTP too (RFC 9112 §2.2). */
function detectHttp1(bytes: Uint8Array): Detected | undefined {
  if (bytes[0] === cr || bytes[0] === lf) return 'http1';
  const end = Math.min(bytes.length, maxMethodBytes + 1);
  for (let i = 0; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte === sp) return i === 0 ? 'unknown' : detectByMethod(bytes, i);
    if (!isMethodByte(byte)) return 'unknown';
  }
  return bytes.length > maxMethodBytes ? 'unknown' : undefined;
}

/** Commands of memcached, SIP and others begin alike (`set key 0 0 3`), but name no version of HTTP. */
function detectByMethod(bytes: Uint8Array, length: number): Detected | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (httpMethods.includes(text.toString('latin1', 0, length))) return 'http1';
  const end = text.indexOf(lf);
  if (end !== -1) return text.subarray(0, end).includes(' HTTP/') ? 'http1' : 'unknown';
  return bytes.length > maxCommandBytes ? 'http1' : undefined;
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

export interface PeekOptions {
  readonly timers: TimerWheel;
  /** How long the client may take. */
  readonly timeoutMs?: number;
  /** Nothing but HTTP or TLS is expected: the head's own time begins with its first byte, and silence is ended. */
  readonly onlyHttp?: boolean;
  /** Takes a connection whose client has sent its FIN before it was known what it is; without this it is closed. */
  readonly onWhole?: (bytes: Buffer, socket: Socket) => void;
}

/**
 * Reads until the protocol is known and calls back once with the bytes put back into the socket, which is paused.
 * A socket that closes before is never reported.
 */
export function detectSocket(
  socket: Socket,
  options: PeekOptions,
  onDetected: (protocol: Detected, socket: Socket) => void,
): void {
  let bytes: Buffer | undefined;
  const look = (chunk: Buffer): Detected | undefined => {
    bytes = bytes === undefined ? chunk : Buffer.concat([bytes, chunk]);
    return detectProtocol(bytes, options.onlyHttp);
  };
  const late = () => (options.onlyHttp ? undefined : 'unknown');
  new Peek<Detected>(socket, options, { look, late, onSeen: onDetected });
}

/** What the first bytes of a connection that should be TLS say; an error where they are no ClientHello. */
export type Greeting = ClientHello | { readonly error: MeshError };

/** Reads a ClientHello and calls back once, with the bytes put back into the socket, which is paused. */
export function peekClientHello(
  socket: Socket,
  options: PeekOptions,
  onSeen: (greeting: Greeting, socket: Socket) => void,
): void {
  const reader = new ClientHelloReader();
  const look = (chunk: Buffer): Greeting | undefined => {
    try {
      return reader.push(chunk);
    } catch (thrown) {
      if (thrown instanceof MeshError) return { error: thrown };
      throw thrown;
    }
  };
  new Peek(socket, options, { look, late: () => ({ error: tooSlow() }), onSeen });
}

function tooSlow(): MeshError {
  return new MeshError('request_timeout', 'no whole ClientHello in time', { origin: 'downstream' });
}

interface Peeking<T> {
  /** What the bytes up to this chunk mean, or undefined while more are needed. */
  readonly look: (chunk: Buffer) => T | undefined;
  /** What it means that no more came in time; undefined: that the connection ends. */
  readonly late: () => T | undefined;
  readonly onSeen: (seen: T, socket: Socket) => void;
}

class Peek<T> implements TimerOwner {
  readonly #socket: Socket;
  readonly #options: PeekOptions;
  readonly #peeking: Peeking<T>;
  readonly #timer = new WheelTimer(this);
  /** Bounded by what `look` needs to decide. */
  readonly #chunks: Buffer[] = [];

  constructor(socket: Socket, options: PeekOptions, peeking: Peeking<T>) {
    this.#socket = socket;
    this.#options = options;
    this.#peeking = peeking;
    options.timers.arm(this.#timer, options.timeoutMs ?? detectionLimits.detectMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#stop);
    // One peek may follow another, which left it paused.
    if (socket.isPaused()) socket.resume();
  }

  onTimer(): void {
    const seen = this.#peeking.late();
    if (seen !== undefined) this.#report(seen);
    else {
      this.#stop();
      this.#socket.destroy();
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    const seen = this.#peeking.look(chunk);
    if (seen !== undefined) this.#report(seen);
  };

  /** Nothing more will come: what there is belongs to nobody, unless bytes of any kind do. */
  readonly #onEnd = (): void => {
    this.#stop();
    const { onWhole } = this.#options;
    if (onWhole === undefined) this.#socket.destroy();
    else onWhole(Buffer.concat(this.#chunks), this.#socket);
  };

  readonly #stop = (): void => {
    this.#options.timers.disarm(this.#timer);
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#stop);
  };

  #report(seen: T): void {
    this.#stop();
    this.#socket.pause();
    if (this.#chunks.length > 0) this.#socket.unshift(Buffer.concat(this.#chunks));
    this.#peeking.onSeen(seen, this.#socket);
  }
}
