/**
 * What time does to a connection: silence is asked about by PING, idleness and standstill end it.
 * One coarse timer per connection, slower while nothing is in flight; durations are counted in its ticks.
 */
import { MeshError } from '../../../kit/errors.ts';
import type { Random } from '../../../kit/random.ts';
import type { Conn } from '../../net/conn.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../../net/timer-wheel.ts';
import { ConnectionFault, type FaultCode, faultCode } from './fault.ts';
import { limits } from './limits.ts';

/** What liveness sees of a session. */
export interface LivenessSubject {
  readonly streams: { readonly size: number };
  readonly hasSettingsAck: boolean;
  /** Whether a frame or a header block has been coming for too long, `seconds` after this was last asked. */
  isHeadLate(seconds: number): boolean;
  sendPing(kind: number): void;
  onTick(seconds: number): void;
  onIdle(): void;
  failConnection(fault: ConnectionFault): void;
}

export interface LivenessInit {
  readonly conn: Conn;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly idleMs: number;
  /** The peer is an application that serves. */
  readonly isApp: boolean;
}

/** Kinds of our PINGs, their first byte. */
export const pingKind = { keepalive: 1, drain: 2 } as const;

/** While no stream is open the timer comes this much more rarely. */
const quietTickMs = 5000;

export class Liveness implements TimerOwner {
  readonly #subject: LivenessSubject;
  readonly #init: LivenessInit;
  readonly #timer: WheelTimer = new WheelTimer(this);
  readonly #keepaliveMs: number;
  #periodMs: number = limits.tickMs;
  #ageMs = 0;
  #silentMs = 0;
  #idleMs = 0;
  #stuckMs = 0;
  #pingMs = -1;
  #isHurried = false;
  #bytesIn = 0;
  #bytesTaken = 0;

  constructor(subject: LivenessSubject, init: LivenessInit) {
    this.#subject = subject;
    this.#init = init;
    const keepaliveMs = init.isApp ? limits.appKeepaliveMs : limits.keepaliveMs;
    this.#keepaliveMs = keepaliveMs * (1 + limits.keepaliveJitter * (2 * init.random() - 1));
  }

  start(): void {
    this.#init.timers.arm(this.#timer, this.#periodMs);
  }

  /** Ticks come soon from now on, also while nothing is in flight. */
  hurry(): void {
    this.#isHurried = true;
    this.#periodMs = limits.tickMs;
    this.start();
  }

  stop(): void {
    this.#init.timers.disarm(this.#timer);
  }

  onTimer(): void {
    const passedMs = this.#periodMs;
    this.#ageMs += passedMs;
    this.#subject.onTick(passedMs / 1000);
    if (!this.#checkPeer(passedMs)) return;
    const isQuiet = this.#subject.streams.size === 0 && this.#pingMs === -1 && !this.#isHurried;
    this.#idleMs = this.#subject.streams.size === 0 ? this.#idleMs + passedMs : 0;
    this.#periodMs = isQuiet && this.#subject.hasSettingsAck ? quietTickMs : limits.tickMs;
    this.start();
    if (this.#idleMs >= this.#init.idleMs) {
      this.#idleMs = 0;
      this.#subject.onIdle();
    }
  }

  /** Whether the connection goes on. */
  #checkPeer(passedMs: number): boolean {
    const { conn } = this.#init;
    if (!this.#subject.hasSettingsAck && this.#ageMs >= limits.settingsTimeoutMs) {
      return this.#fail(faultCode.settingsTimeout, 'no acknowledgement of our SETTINGS');
    }
    if (this.#subject.isHeadLate(passedMs / 1000)) {
      return this.#fail(faultCode.enhanceYourCalm, 'a frame or header block that does not end');
    }
    this.#silentMs = conn.bytesIn === this.#bytesIn ? this.#silentMs + passedMs : 0;
    this.#bytesIn = conn.bytesIn;
    if (this.#silentMs === 0) this.#pingMs = -1;
    const taken = conn.bytesOut - conn.unsentBytes;
    this.#stuckMs = conn.unsentBytes > 0 && taken === this.#bytesTaken ? this.#stuckMs + passedMs : 0;
    this.#bytesTaken = taken;
    // CVE-2019-9517: the stream windows are open, the socket's is not.
    if (this.#stuckMs >= limits.noProgressMs) return this.#giveUp('peer takes no data');
    if (this.#pingMs !== -1) {
      this.#pingMs += passedMs;
      if (this.#pingMs >= limits.pingTimeoutMs) return this.#giveUp('peer does not answer PING');
    } else if (this.#silentMs >= this.#keepaliveMs && this.#mayAsk) {
      this.#pingMs = 0;
      this.#subject.sendPing(pingKind.keepalive);
    }
    return true;
  }

  /** gRPC servers end the connection of whom they find asking too often, which without a call is every two hours. */
  get #mayAsk(): boolean {
    return !this.#init.isApp || this.#subject.streams.size > 0;
  }

  #fail(code: FaultCode, reason: string): boolean {
    this.#subject.failConnection(new ConnectionFault(code, reason));
    return false;
  }

  #giveUp(reason: string): boolean {
    this.#init.conn.destroy(new MeshError('connection_reset', reason, { origin: 'local' }));
    return false;
  }
}
