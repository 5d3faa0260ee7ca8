/**
 * What a sidecar does as its memory comes near the limit: first it stops keeping connections alive, then it gives
 * back what lies idle, then it answers new requests with 503. The admin page answers throughout.
 *
 *   normal ──80 %──▶ closing ──90 %──▶ shrinking ──95 %──▶ shedding
 *      ◀── each level is left 5 % below where it was entered, one level at a time ──
 */
import type { Clock, Timer } from '../kit/clock.ts';
import type { Log } from '../kit/log.ts';
import type { Pressure } from './proxy/pressure.ts';

/** How often memory is looked at. */
export const sampleMs = 250;
/** The share of the limit at which each level is entered. */
export const closingShare = 0.8;
export const shrinkingShare = 0.9;
export const sheddingShare = 0.95;
/** A level is left so much below its share, so that it does not flicker. */
export const leaveBelow = 0.05;
/** While at the shrinking level or above: how often idle things are given back, and the garbage collected. */
export const shrinkEveryMs = 1_000;
export const collectEveryMs = 10_000;

export const overloadLevels = ['normal', 'closing', 'shrinking', 'shedding'] as const;
export type OverloadLevel = (typeof overloadLevels)[number];

const shares = [0, closingShare, shrinkingShare, sheddingShare];

export interface OverloadInit {
  readonly limitBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Memory in use now, in bytes. */
  readonly usedBytes: () => number;
  /** What the request path looks at; written here alone. */
  readonly pressure: Pressure;
  /** Closes what lies idle. */
  readonly shrink: () => void;
  /** Collects garbage and gives free pages back to the system. */
  readonly collect: () => void;
}

export class Overload {
  readonly limitBytes: number;
  usedBytes = 0;
  /** How often each level was entered from below. */
  readonly entered: Record<OverloadLevel, number> = { normal: 0, closing: 0, shrinking: 0, shedding: 0 };
  readonly #init: OverloadInit;
  #level = 0;
  #shrunkMs = Number.NEGATIVE_INFINITY;
  #collectedMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(init: OverloadInit) {
    this.#init = init;
    this.limitBytes = init.limitBytes;
  }

  get level(): OverloadLevel {
    return overloadLevels[this.#level] as OverloadLevel;
  }

  /** 0 for normal, 3 for shedding. */
  get rank(): number {
    return this.#level;
  }

  start(): void {
    this.#timer = this.#init.clock.every(sampleMs, () => this.sample());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Looks at memory once and acts on it. */
  sample(): void {
    this.usedBytes = this.#init.usedBytes();
    const share = this.usedBytes / this.limitBytes;
    const before = this.#level;
    while (this.#level < shares.length - 1 && share >= (shares[this.#level + 1] as number)) {
      this.#level++;
      this.entered[this.level]++;
    }
    // One level at a time on the way down: what was shut opens slowly.
    if (this.#level === before && before > 0 && share < (shares[before] as number) - leaveBelow)
      this.#level--;
    if (this.#level !== before) this.#onLevel();
    if (this.#level >= overloadLevels.indexOf('shrinking')) this.#relieve();
  }

  #onLevel(): void {
    const { pressure, log } = this.#init;
    pressure.closesConnections = this.#level >= overloadLevels.indexOf('closing');
    pressure.sheds = this.#level >= overloadLevels.indexOf('shedding');
    const fields = { level: this.level, usedBytes: this.usedBytes, limitBytes: this.limitBytes };
    log.warn('memory pressure changed', fields);
  }

  #relieve(): void {
    const { clock, shrink, collect } = this.#init;
    const nowMs = clock.nowMs();
    if (nowMs - this.#shrunkMs >= shrinkEveryMs) {
      this.#shrunkMs = nowMs;
      shrink();
    }
    if (nowMs - this.#collectedMs >= collectEveryMs) {
      this.#collectedMs = nowMs;
      collect();
    }
  }
}
