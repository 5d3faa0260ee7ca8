// hot: a subtraction per frame.
/**
 * Token buckets against peers that cost more than they bring. All are refilled by the session's tick,
 * so counting reads no clock. Each broken bound is a ConnectionFault ENHANCE_YOUR_CALM.
 */
import type { TimerWheel } from '../../net/timer-wheel.ts';
import { ConnectionFault, faultCode } from './fault.ts';
import { limits, type Rate } from './limits.ts';

class Bucket {
  readonly #rate: Rate;
  #tokens: number;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#tokens = rate.burst;
  }

  /** Whether `cost` could be taken. */
  take(cost: number): boolean {
    if (this.#tokens < cost) return false;
    this.#tokens -= cost;
    return true;
  }

  refill(seconds: number): void {
    this.giveBack(this.#rate.perSecond * seconds);
  }

  giveBack(tokens: number): void {
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + tokens);
  }
}

/** What DATA may belong to. */
export interface MessageSource {
  /** Its sender writes a frame for each message, however small. */
  readonly carriesMessages: boolean;
}

/** A request that is taken back within so many ticks of the wheel was not waited for. */
const rapidTicks = 2;

export class FloodGuard {
  readonly #timers: TimerWheel;
  readonly #resets: Bucket;
  readonly #pings = new Bucket(limits.pings);
  readonly #oddFrames: Bucket;
  readonly #emptyFrames = new Bucket(limits.emptyFrames);
  readonly #smallData: Bucket;
  readonly #messages: Bucket;
  #emptyInRow = 0;
  /** Since the last tick. */
  #windowUpdates = 0;
  #dataFramesSent = 0;
  /** How many of those were answered, by PING and by WINDOW_UPDATE. */
  #probedFrames = 0;
  #grantedFrames = 0;

  /** A server that we call sends as its application writes, so its small frames are measured like messages. */
  constructor(isLink: boolean, side: 'server' | 'client', timers: TimerWheel) {
    this.#timers = timers;
    this.#resets = new Bucket(isLink ? limits.linkResets : limits.resets);
    this.#oddFrames = new Bucket(isLink ? limits.linkOddFrames : limits.oddFrames);
    this.#messages = new Bucket(limits.smallMessages);
    this.#smallData = isLink || side === 'client' ? this.#messages : new Bucket(limits.smallData);
  }

  /** A stream was reset by the peer, or by us for its fault (CVE-2023-44487, CVE-2025-8671). */
  onReset(): void {
    if (!this.#resets.take(1)) throw flood('stream resets');
  }

  /** For `onCancelled`. */
  get tick(): number {
    return this.#timers.tick;
  }

  /**
   * The client took back what it had asked for at `openedTick`. Where that was not just now a deadline has passed, and
   * how often that may be is bounded by how many streams may be open.
   */
  onCancelled(openedTick: number): void {
    if (this.#timers.tick - openedTick < rapidTicks) this.onReset();
  }

  /** Both sides ended a stream: who lets most requests be answered may take back others. */
  onCompleted(): void {
    this.#resets.giveBack(1);
  }

  /** CVE-2019-9515. */
  onSettings(): void {
    if (!this.#pings.take(1)) throw flood('SETTINGS or PING');
  }

  /** CVE-2019-9512. Who measures its way to us (gRPC does) sends one for what it got, so one for each DATA is free. */
  onPing(): void {
    if (this.#probedFrames < this.#dataFramesSent) this.#probedFrames++;
    else if (!this.#pings.take(1)) throw flood('SETTINGS or PING');
  }

  /** PRIORITY, an unknown type, an acknowledgement, or a frame of a stream that is over (CVE-2019-9513). */
  onOddFrame(): void {
    if (!this.#oddFrames.take(1)) throw flood('frames without effect');
  }

  /** We ended a stream for reasons of our own: what the peer is sending meanwhile, a head to a reset, is no flood. */
  onEarlyEnd(): void {
    this.#oddFrames.giveBack(4);
  }

  /** A header block begins, so what was empty before it stood for something. */
  onHeaders(): void {
    this.#emptyInRow = 0;
  }

  /** A frame that carries nothing and ends nothing (CVE-2019-9518). */
  onEmptyFrame(): void {
    if (++this.#emptyInRow > limits.emptyFramesInRow || !this.#emptyFrames.take(1)) {
      throw flood('empty frames');
    }
  }

  /** DATA with `length` bytes that does not end its stream; `stream` is where it belongs, if it is open. */
  onData(length: number, stream: MessageSource | undefined): void {
    this.#emptyInRow = 0;
    const lack = limits.smallDataBytes - length;
    // Windows that run out leave small ends between large frames: those make up for them.
    if (lack <= 0) this.#smallData.giveBack(-lack);
    else if (!this.#smallData.take(lack)) this.#onMessage(lack, stream);
  }

  #onMessage(lack: number, stream: MessageSource | undefined): void {
    const isMessage = stream?.carriesMessages === true;
    if (!isMessage || !this.#messages.take(lack)) throw flood('small DATA frames');
  }

  onWindowUpdate(liveStreams: number): void {
    const { base, perStream, perDataFrame } = limits.windowUpdates;
    const frames = this.#dataFramesSent - this.#grantedFrames;
    if (++this.#windowUpdates > base + perStream * liveStreams + perDataFrame * frames) {
      throw flood('WINDOW_UPDATE');
    }
  }

  /** We sent a DATA frame, which the peer may answer by window updates. */
  onDataSent(): void {
    this.#dataFramesSent++;
  }

  /** `seconds` went by. */
  refill(seconds: number): void {
    this.#resets.refill(seconds);
    this.#pings.refill(seconds);
    this.#oddFrames.refill(seconds);
    this.#emptyFrames.refill(seconds);
    this.#smallData.refill(seconds);
    if (this.#messages !== this.#smallData) this.#messages.refill(seconds);
    this.#emptyInRow = 0;
    this.#forgetAnswered();
  }

  /** A reader that was busy answers late, so what was not answered stays, within a bound. */
  #forgetAnswered(): void {
    const sent = this.#dataFramesSent;
    const oldest = sent - limits.unansweredFrames;
    const granted = this.#grantedFrames + Math.ceil(this.#windowUpdates / limits.windowUpdates.perDataFrame);
    this.#grantedFrames = Math.max(Math.min(granted, sent), oldest);
    this.#probedFrames = Math.max(this.#probedFrames, oldest);
    this.#windowUpdates = 0;
  }
}

function flood(what: string): ConnectionFault {
  return new ConnectionFault(faultCode.enhanceYourCalm, `too many ${what}`);
}
