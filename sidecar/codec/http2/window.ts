// hot: a few additions per DATA frame.
/**
 * Receive windows (RFC 9113 §5.2). Credit that was granted cannot be taken back, so a stream's window starts
 * small and doubles only while its reader takes everything at once and the process has growth to give.
 *
 *   target = what the peer may send + what waits for a paused reader + what is due to be granted again
 */
import { ConnectionFault, faultCode } from './fault.ts';
import { limits } from './limits.ts';

/** The growth of all stream windows of a process; each window returns what it took, once it can no longer be used. */
export class WindowBudget {
  #leftBytes: number;

  constructor(totalBytes: number = limits.windowGrowthPerProcess) {
    this.#leftBytes = totalBytes;
  }

  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** One stream gets a part of what is left, never the rest. */
  take(bytes: number): boolean {
    if (bytes > this.#leftBytes * limits.windowGrowthShare) return false;
    this.#leftBytes -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#leftBytes += bytes;
  }
}

export class ReceiveWindow {
  readonly #budget: WindowBudget;
  readonly #firstBytes: number;
  readonly #maxBytes: number;
  /** What the peer may still send. */
  #credit: number;
  #target: number;
  /** Taken from the budget. */
  #grown = 0;

  /** It grows from `firstBytes` to `maxBytes` at most. */
  constructor(budget: WindowBudget, firstBytes: number, maxBytes: number) {
    this.#budget = budget;
    this.#firstBytes = firstBytes;
    this.#maxBytes = maxBytes;
    this.#credit = firstBytes;
    this.#target = firstBytes;
  }

  /** Counts a DATA frame; false where the peer overran the window. */
  receive(bytes: number): boolean {
    this.#credit -= bytes;
    return this.#credit >= 0;
  }

  /**
   * The increment to grant now that the reader has all but `heldBytes`, or 0: less than half a window is not worth
   * a frame. The window grows here, for its reader keeps up with the peer.
   */
  grant(heldBytes: number): number {
    let due = this.#target - this.#credit - heldBytes;
    if (due < this.#target >>> 1) return 0;
    if (this.#target === this.#firstBytes) this.settle(heldBytes);
    const next = Math.min(this.#target * 2, this.#maxBytes);
    if (heldBytes === 0 && next > this.#target && this.#budget.take(next - this.#target)) {
      this.#grown += next - this.#target;
      due += next - this.#target;
      this.#target = next;
    }
    this.#credit += due;
    return due;
  }

  /** The reader stopped: from now on the window is a small one, as soon as the credit that is out is used up. */
  shrink(heldBytes: number): void {
    this.#target = this.#firstBytes;
    this.settle(heldBytes);
  }

  /** Nothing more will come; what is held still takes its place. */
  end(heldBytes: number): void {
    this.#credit = 0;
    this.shrink(heldBytes);
  }

  /** Returns to the budget what neither the peer's credit nor the held bytes can fill any more. */
  settle(heldBytes: number): void {
    const needed = Math.max(0, this.#credit + heldBytes - this.#firstBytes);
    if (needed >= this.#grown) return;
    this.#budget.giveBack(this.#grown - needed);
    this.#grown = needed;
  }
}

/**
 * The window of a whole connection. Its credit returns on receipt, so that one slow reader never stalls the others,
 * as long as what waits for readers stays within a bound: beyond it, nothing is granted until they took some.
 */
export class ConnectionWindow {
  readonly #bytes: number;
  readonly #maxHeldBytes: number;
  #left: number;
  heldBytes = 0;

  constructor(bytes: number, maxHeldBytes: number) {
    this.#bytes = bytes;
    this.#maxHeldBytes = maxHeldBytes;
    this.#left = bytes;
  }

  /** Its credit no longer returns on receipt, so every body may have to wait for others' readers. */
  get isStalled(): boolean {
    return this.heldBytes > this.#maxHeldBytes;
  }

  /** What has to be granted at the beginning, beyond what every connection begins with (RFC 9113 §6.9.2). */
  get firstGrant(): number {
    return this.#bytes - limits.streamWindow;
  }

  /** Counts a DATA frame; returns the increment to grant now, or 0. */
  receive(length: number): number {
    this.#left -= length;
    if (this.#left < 0) {
      throw new ConnectionFault(faultCode.flowControlError, 'connection window overrun');
    }
    return this.#due();
  }

  /** `bytes` more (or fewer) wait for their readers; returns the increment to grant now, or 0. */
  addHeld(bytes: number): number {
    this.heldBytes += bytes;
    return bytes < 0 ? this.#due() : 0;
  }

  #due(): number {
    if (this.#left >= this.#bytes >>> 1 || this.isStalled) return 0;
    const increment = this.#bytes - this.#left;
    this.#left = this.#bytes;
    return increment;
  }
}
