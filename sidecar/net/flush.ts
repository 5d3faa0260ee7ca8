// hot: every connection that has something to write passes here once a turn.
/**
 * One `setImmediate` per loop turn that has work: the check phase follows the poll phase at once, so nothing waits,
 * and all that a turn produced for a connection leaves in one write.
 */
import type { Flushable, Flusher } from './conn.ts';

export function createFlusher(): Flusher {
  return new TurnFlusher();
}

class TurnFlusher implements Flusher {
  #queue: Flushable[] = [];
  /** For the run after the one at work, if one is. */
  #postponed: Flushable[] = [];
  #armed = false;

  schedule(flushable: Flushable): void {
    if (flushable.flushScheduled) return;
    flushable.flushScheduled = true;
    this.#queue.push(flushable);
    this.#arm();
  }

  postpone(flushable: Flushable): void {
    if (flushable.flushScheduled) return;
    flushable.flushScheduled = true;
    this.#postponed.push(flushable);
    this.#arm();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(runFlush, this);
  }

  run(): void {
    const queue = this.#queue;
    if (this.#postponed.length > 0) {
      const due = this.#postponed;
      this.#postponed = [];
      for (let i = 0; i < due.length; i++) queue.push(due[i] as Flushable);
    }
    let at = 0;
    try {
      while (at < queue.length) {
        const flushable = queue[at++] as Flushable;
        flushable.flushScheduled = false;
        flushable.flush();
      }
    } finally {
      // One that threw is a bug of ours; the others still get their turn.
      if (at < queue.length) {
        this.#queue = queue.slice(at);
        setImmediate(runFlush, this);
      } else {
        queue.length = 0;
        this.#armed = false;
        if (this.#postponed.length > 0) this.#arm();
      }
    }
  }
}

function runFlush(flusher: TurnFlusher): void {
  flusher.run();
}
