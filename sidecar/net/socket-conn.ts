// hot: every byte of every connection.
/**
 * The real `Conn`, over a `net.Socket` or `tls.TLSSocket`.
 *
 * Pieces of one turn wait here and leave in one write: text and small bytes joined as one latin1 string, up to
 * 16 KiB copied into one buffer, more by `writev` without a copy unless many connections are full. The socket must
 * have been made with `allowHalfOpen: true`: a FIN is `onEnd` and no more.
 */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { MeshError, messageOf, type Origin } from '../../kit/errors.ts';
import type { Conn, ConnHandler, Flushable, Flusher, Peer } from './conn.ts';
import { connectionLimits, crowdedConns, crowdedMarkBytes } from './connection-limits.ts';
import type { DescriptorBudget } from './descriptors.ts';
import { type DirectWriter, writeDirectly } from './direct-write.ts';
import { Linger } from './linger.ts';
import { connectionError } from './node-errors.ts';
import { buffersOf, joined, keepsMore, type Outgoing, type Piece, writeToStream } from './pieces.ts';
import { leaveReads, pauseReading, readsBeforeTaken, takeReads } from './read-buffer.ts';
import { noteReadBuffer } from './read-garbage.ts';
import type { TimerWheel } from './timer-wheel.ts';
import { belowOf, finishUnlessCut, isCut } from './tls-cut.ts';

/** Bytes up to here become text, which is cheaper than a buffer of their own. */
const textBelowBytes = 2048;
/** So much leaves at once, while it is in the processor's cache, and not at the end of the turn. */
const earlyWriteBytes = 64 * 1024;
/** Pieces up to here in sum are copied into one buffer. */
const joinBelowBytes = 16 * 1024;

/** What all connections of a process share. */
export interface ConnServices {
  readonly flusher: Flusher;
  readonly timers: TimerWheel;
  /** How many of them are full; absent where nobody counts. */
  readonly full?: { count: number };
  /** Of what is dialled; absent where nobody counts. */
  readonly descriptors?: DescriptorBudget;
}

export interface SocketConnInit {
  /** Whose fault it is when the connection breaks. */
  readonly origin: Origin;
  /** Read from the socket where absent. */
  readonly peer?: Peer;
}

/**
 * `finishing`: no more writes, still reading. `lingering`: `close` was called, the handler hears only `onClosed`.
 * `destroyed`: waiting for the socket's 'close'.
 */
type State = 'open' | 'finishing' | 'lingering' | 'destroyed' | 'closed';

/** Our FIN over TLS. `leaving_ended`: the peer's end came meanwhile, or a reset that looks like one. */
type Fin = 'none' | 'leaving' | 'leaving_ended' | 'sent';

const nothing = Buffer.alloc(0);

const owner = Symbol('SocketConn');
type OwnedSocket = Socket & { [owner]: SocketConn };

export class SocketConn implements Conn, Flushable, DirectWriter {
  flushScheduled = false;
  bytesIn = 0;
  bytesOut = 0;
  readonly #socket: Socket;
  readonly #isPlain: boolean;
  readonly #services: ConnServices;
  readonly #origin: Origin;
  #peer: Peer | undefined;
  #handler: ConnHandler | undefined = undefined;
  #state: State = 'open';
  /** The queue: first `#text`, then `#pieces`. */
  #text = '';
  #pieces: Piece[] | undefined = undefined;
  #queuedBytes = 0;
  /** Handed to the socket past its stream, and not taken by the kernel yet. */
  #waitingBytes = 0;
  #writerWaits = false;
  /** Those by Node's own way. */
  #reads = 0;
  #peerEnded = false;
  #fin: Fin = 'none';
  #error: MeshError | undefined = undefined;
  #linger: Linger | undefined = undefined;

  constructor(socket: Socket, services: ConnServices, init: SocketConnInit) {
    this.#socket = socket;
    this.#isPlain = belowOf(socket) === undefined;
    this.#services = services;
    this.#origin = init.origin;
    this.#peer = init.peer;
    (socket as OwnedSocket)[owner] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.on('drain', onDrain);
    socket.on('end', onEnd);
  }

  get peer(): Peer {
    this.#peer ??= peerOf(this.#socket);
    return this.#peer;
  }

  get unsentBytes(): number {
    return this.#queuedBytes + this.#handedBytes;
  }

  get isFull(): boolean {
    const unsent = this.unsentBytes;
    if (unsent < connectionLimits.highMarkBytes && (unsent < crowdedMarkBytes || !this.#isCrowded))
      return false;
    if (this.#writerWaits) return true;
    this.#writerWaits = true;
    const { full } = this.#services;
    if (full !== undefined) full.count++;
    return true;
  }

  get #isCrowded(): boolean {
    const { full } = this.#services;
    return full !== undefined && full.count >= crowdedConns;
  }

  setHandler(handler: ConnHandler): void {
    const first = this.#handler === undefined;
    this.#handler = handler;
    if (!first) return;
    if (this.#state === 'closed') process.nextTick(reportClosed, handler, this.#error);
    else {
      this.#socket.on('data', onData);
      // Detection leaves it paused.
      if (this.#socket.isPaused()) this.#socket.resume();
    }
  }

  writeText(text: string): void {
    if (this.#state !== 'open' || text.length === 0) return;
    this.#queuedBytes += text.length;
    if (this.#pieces === undefined) this.#text += text;
    else this.#pieces.push(text);
    if (!this.flushScheduled) this.#services.flusher.schedule(this);
  }

  write(bytes: Buffer): void {
    if (this.#state !== 'open' || bytes.length === 0) return;
    this.#queuedBytes += bytes.length;
    if (this.#pieces !== undefined) this.#pieces.push(bytes);
    else if (bytes.length <= textBelowBytes) this.#text += bytes.toString('latin1');
    else this.#pieces = [bytes];
    if (this.#queuedBytes >= earlyWriteBytes && this.#canWriteNow()) this.flush();
    else if (!this.flushScheduled) this.#services.flusher.schedule(this);
  }

  /** Over TLS a second write of a turn would wait for the first to end, and that takes a turn. */
  #canWriteNow(): boolean {
    return this.#isPlain && !this.#writerWaits && this.#handedBytes === 0;
  }

  flush(): void {
    if (this.#queuedBytes === 0 || this.#state === 'destroyed' || this.#state === 'closed') return;
    const text = this.#text;
    const pieces = this.#pieces;
    const size = this.#queuedBytes;
    this.#text = '';
    this.#pieces = undefined;
    this.#queuedBytes = 0;
    this.bytesOut += size;
    if (pieces === undefined) this.#writeNow(text, size);
    else if (this.#isCrowded && (this.#handedBytes > 0 || keepsMore(pieces, size))) {
      // What has to wait, or may, gets a buffer of its own: a view keeps the whole one that it was read into.
      this.#writeNow(joined(text, pieces, Buffer.allocUnsafeSlow(size)), size);
    } else if (pieces.length === 1 && text.length === 0) this.#writeNow(pieces[0] as Buffer, size);
    else if (size <= joinBelowBytes) this.#writeNow(joined(text, pieces, Buffer.allocUnsafe(size)), size);
    else this.#writeNow(buffersOf(text, pieces), size);
    const unsent = this.#handedBytes;
    if (unsent > connectionLimits.maxUnsentBytes) {
      this.reset(new MeshError('limit_exceeded', `${unsent} bytes unsent`, { origin: this.#origin }));
    } else if (this.#writerWaits) this.#drainedUnlessUnsent();
  }

  /** One system call, and where all leaves with it, nothing more. */
  #writeNow(data: Outgoing, size: number): void {
    const socket = this.#socket;
    const outcome = this.#isPlain && this.#handedBytes === 0 ? writeDirectly(socket, data, this) : 'refused';
    if (outcome === 'waits') this.#waitingBytes = size;
    else if (outcome === 'refused') writeToStream(socket, data);
  }

  /** What waits below the stream has left, or never will. */
  written(error: Error | undefined): void {
    this.#waitingBytes = 0;
    if (this.#state === 'destroyed' || this.#state === 'closed') return;
    if (error !== undefined) this.#socket.destroy(error);
    else if (this.#writerWaits) this.#drainedUnlessUnsent();
  }

  #drainedUnlessUnsent(): void {
    if (this.#waitingBytes === 0 && !this.#socket.writableNeedDrain) this.drained();
  }

  /** Unsent, and not here any more. */
  get #handedBytes(): number {
    return this.#waitingBytes + this.#socket.writableLength;
  }

  finish(): void {
    if (this.#state !== 'open') return;
    this.flush();
    this.#state = 'finishing';
    if (!this.#isPlain) this.#socket._final = finalUnlessCut;
    // The stream knows nothing of what waits below it, and a FIN that waits there as well would rule out a reset.
    if (this.#waitingBytes > 0) this.#socket.write(nothing);
    this.#socket.end();
  }

  close(): void {
    if (this.#state !== 'open' && this.#state !== 'finishing') return;
    this.finish();
    this.#state = 'lingering';
    const socket = this.#socket;
    const mayBeCut = this.#peerEnded && !this.#isPlain;
    this.#linger = new Linger(this, socket, this.#services.timers, this.#origin, mayBeCut);
    if (this.#handler === undefined) socket.on('data', onData);
    socket.resume();
  }

  destroy(error?: MeshError): void {
    if (this.#giveUp(error)) this.#socket.destroy();
  }

  reset(error?: MeshError): void {
    // After a FIN libuv resets no more, and would leave the socket open for ever; unsent bytes hold it back.
    const hasFinished = this.#socket.writableEnded && this.#handedBytes === 0;
    if (!this.#giveUp(error)) return;
    // Taking the socket away below TLS, while that is in the middle of a read or a handshake, ends the process
    // (SIGSEGV), so not from within its calls.
    const below = belowOf(this.#socket);
    if (hasFinished) this.#socket.destroy();
    else if (below === undefined) this.#socket.resetAndDestroy();
    else setImmediate(resetBelow, this.#socket, below);
  }

  #giveUp(error: MeshError | undefined): boolean {
    if (this.#state === 'destroyed' || this.#state === 'closed') return false;
    this.#error ??= error;
    this.#state = 'destroyed';
    this.#text = '';
    this.#pieces = undefined;
    this.#queuedBytes = 0;
    return true;
  }

  pause(): void {
    pauseReading(this.#socket);
  }

  resume(): void {
    this.#socket.resume();
  }

  /** For the socket's listeners only, like the seven below. */
  noteRead(size: number): void {
    noteReadBuffer(size);
    if (++this.#reads === readsBeforeTaken) takeReads(this.#socket, this);
  }

  received(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.#state === 'lingering') this.#linger?.received(chunk.length);
    else if (this.#state === 'open' || this.#state === 'finishing') {
      try {
        this.#handler?.onData(chunk);
      } catch (thrown) {
        this.#failed(thrown);
      }
    }
  }

  ended(): void {
    if (this.#fin === 'leaving') {
      this.#fin = 'leaving_ended';
      return;
    }
    this.#peerEnded = true;
    if (this.#state !== 'open' && this.#state !== 'finishing') return;
    // With both FINs there is no connection any more either, in good order.
    if (this.#fin === 'none' && isCut(this.#socket)) {
      this.destroy(connectionError(new Error('reset'), this.#origin));
      setImmediate(closeAfterCut, this);
      return;
    }
    try {
      this.#handler?.onEnd();
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  finLeaves(): void {
    this.#fin = 'leaving';
  }

  finLeft(error: Error | null | undefined): void {
    const hasEnded = this.#fin === 'leaving_ended';
    this.#fin = 'sent';
    if (hasEnded && !error) this.ended();
  }

  drained(): void {
    if (!this.#writerWaits || this.#state === 'destroyed') return;
    this.#stopWaiting();
    try {
      this.#handler?.onWritable();
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  broke(cause: unknown): void {
    this.#error ??= connectionError(cause, this.#origin);
  }

  closed(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    leaveReads(this.#socket);
    this.#stopWaiting();
    this.#linger?.end();
    this.#linger = undefined;
    this.#handler?.onClosed(this.#error);
  }

  #stopWaiting(): void {
    if (!this.#writerWaits) return;
    this.#writerWaits = false;
    const { full } = this.#services;
    if (full !== undefined) full.count--;
  }

  /** A handler that throws ends its own connection and nothing else. */
  #failed(thrown: unknown): void {
    const error =
      thrown instanceof MeshError
        ? thrown
        : new MeshError('internal', messageOf(thrown), { origin: 'local', cause: thrown });
    this.destroy(error);
  }
}

/** The peer of a plain socket, an IPv4 address in its own form. */
export function peerOf(socket: Socket): Peer {
  const address = socket.remoteAddress ?? '';
  const zone = address.indexOf('%');
  const bare = zone === -1 ? address : address.slice(0, zone);
  return {
    address: bare.startsWith('::ffff:') && bare.includes('.') ? bare.slice(7) : bare,
    port: socket.remotePort ?? 0,
    tls: undefined,
  };
}

// Shared by all sockets, so that a connection costs no closures.

function onData(this: Socket, chunk: Buffer): void {
  const conn = (this as OwnedSocket)[owner];
  conn.noteRead(chunk.length);
  conn.received(chunk);
}

function onEnd(this: Socket): void {
  (this as OwnedSocket)[owner].ended();
}

function onDrain(this: Socket): void {
  (this as OwnedSocket)[owner].drained();
}

function onError(this: Socket, cause: unknown): void {
  (this as OwnedSocket)[owner].broke(cause);
}

function onClose(this: Socket): void {
  (this as OwnedSocket)[owner].closed();
}

/** In place of Node's own, over TLS. */
function finalUnlessCut(this: Socket, done: (error?: Error | null) => void): void {
  const conn = (this as OwnedSocket)[owner];
  conn.finLeaves();
  finishUnlessCut(this, (error) => {
    conn.finLeft(error);
    done(error);
  });
}

function closeAfterCut(conn: SocketConn): void {
  conn.closed();
}

/** Resolves once all connections are reset that were to be: over TLS that is done in the next turn. */
export function untilResetsLeft(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function resetBelow(socket: Socket, below: Socket): void {
  if (below.destroyed || below.writableEnded) socket.destroy();
  else below.resetAndDestroy();
}

function reportClosed(handler: ConnHandler, error: MeshError | undefined): void {
  handler.onClosed(error);
}
