/**
 * Writes a saved file soon after its content changed: changes within a moment are one write, and what cannot be
 * written (a full disk) is said, leaves the old file, and is tried again.
 */
import type { Clock, Timer } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { writeSaved } from './saved-file.ts';

export interface SavedWriter {
  soon(): void;
  /** Writes what is still to be written. */
  close(): void;
}

export interface SavedWriterInit {
  readonly path: string;
  readonly delayMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The content at the time of the write. */
  readonly payload: () => Uint8Array;
}

/** Until the next try where the disk was full. */
const retryMs = 10_000;

export function createSavedWriter({ path, delayMs, clock, log, payload }: SavedWriterInit): SavedWriter {
  let timer: Timer | undefined;
  const write = (): void => {
    timer = undefined;
    try {
      writeSaved(path, payload());
    } catch (error) {
      log.error('state not written, the one before stays', { path, reason: messageOf(error) });
      timer = clock.after(retryMs, write);
    }
  };
  return {
    soon() {
      timer ??= clock.after(delayMs, write);
    },
    close() {
      if (timer === undefined) return;
      timer.cancel();
      write();
      timer?.cancel();
    },
  };
}
