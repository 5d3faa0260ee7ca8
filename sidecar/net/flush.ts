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
  #armed = false;

  schedule(flushable: Flushable): void {
    if (flushable.flushScheduled) return;
    flushable.flushScheduled = true;
    this.#queue.push(flushable);
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(runFlush, this);
  }

  run(): void {
    const queue = this.#queue;
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
      }
    }
  }
}

function runFlush(flusher: TurnFlusher): void {
  flusher.run();
}
