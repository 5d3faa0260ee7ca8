import type { Socket } from 'node:net';
import { MeshError, type Origin } from '../../kit/errors.ts';
import type { Conn } from './conn.ts';
import { connectionLimits } from './connection-limits.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from './timer-wheel.ts';
import { isCut } from './tls-cut.ts';

/**
 * The time after `close`: the last bytes leave, then the peer gets a moment to read them and close. Where they do not
 * leave the peer is reset: what is left out must not look like the end.
 */
export class Linger implements TimerOwner {
  readonly #conn: Conn;
  readonly #socket: Socket;
  readonly #timers: TimerWheel;
  readonly #origin: Origin;
  readonly #timer: WheelTimer = new WheelTimer(this);
  #mayBeCut: boolean;
  #leftBytes = connectionLimits.lingerBytes;
  #unsentBytes: number;

  constructor(conn: Conn, socket: Socket, timers: TimerWheel, origin: Origin, mayBeCut: boolean) {
    this.#conn = conn;
    this.#socket = socket;
    this.#timers = timers;
    this.#origin = origin;
    this.#mayBeCut = mayBeCut;
    this.#unsentBytes = conn.unsentBytes;
    const { lingerMs, lingerEndedMs, lingerStuckMs } = connectionLimits;
    if (this.#unsentBytes === 0) timers.arm(this.#timer, lingerMs);
    else {
      timers.arm(this.#timer, mayBeCut ? lingerEndedMs : lingerStuckMs);
      socket.on('finish', () => timers.arm(this.#timer, lingerMs));
    }
  }

  received(size: number): void {
    this.#leftBytes -= size;
    if (this.#leftBytes >= 0) return;
    // RFC 9112 §9.6: a reset now could cost it our last words, so what else it sends waits in the kernel meanwhile.
    if (this.#conn.unsentBytes === 0) this.#socket.pause();
    else this.#giveUp('the peer goes on sending after the end');
  }

  onTimer(): void {
    const unsent = this.#conn.unsentBytes;
    const mayMoveYet = this.#mayBeCut && !isCut(this.#socket);
    if (unsent === 0 || (unsent === this.#unsentBytes && !mayMoveYet)) {
      this.#giveUp('the peer does not read');
      return;
    }
    this.#unsentBytes = unsent;
    this.#mayBeCut = false;
    this.#timers.arm(this.#timer, connectionLimits.lingerStuckMs);
  }

  end(): void {
    this.#timers.disarm(this.#timer);
  }

  #giveUp(why: string): void {
    const unsent = this.#conn.unsentBytes;
    if (unsent === 0) this.#socket.destroy();
    else {
      const message = `${unsent} bytes unsent: ${why}`;
      this.#conn.reset(new MeshError('connection_closed', message, { origin: this.#origin }));
    }
  }
}
