/**
 * The access log: one JSON line per request, written by ourselves into a bounded buffer that a file
 * descriptor drains in the background. When the disk is slower than the traffic, lines are dropped and counted,
 * never requests delayed.
 */
import { closeSync, constants, openSync, write } from 'node:fs';
import type { Clock, Timer } from '../../kit/clock.ts';
import type { AccessLogMode } from '../../mesh/model.ts';
import { flag, flagNames } from './flags.ts';
import type { Outcome } from './outcome.ts';

/** Bytes waiting at most (and one line); beyond, lines are dropped. */
const maxPendingBytes = 1024 * 1024;
/** Lines leave in batches of so much at most, out of one buffer: a flood of them would leave as much garbage. */
const batchBytes = 64 * 1024;
/** How soon a full pipe is tried again, and for how long where the log is to be closed. */
const retryMs = 10;
const closingMs = 200;
/** Of a thousand requests, how many the mode `sampled` writes besides all failures. */
const sampledPerThousand = 10;
const longestText = 2048;

export interface AccessLogOptions {
  /** A file to append to, or undefined for standard output. */
  readonly file: string | undefined;
  readonly random: () => number;
  readonly clock: Clock;
}

/** Appended to; a named pipe is not waited for, which would hold up the whole process at its end. */
const openFlags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

export class AccessLog {
  mode: AccessLogMode = 'errors';
  /** Lines that found no room. */
  dropped = 0;
  readonly #fd: number;
  readonly #ownsFd: boolean;
  readonly #random: () => number;
  readonly #clock: Clock;
  readonly #lines: string[] = [];
  #pendingBytes = 0;
  #batch: Buffer | undefined;
  #writing = false;
  /** A line was left half written. */
  #isTorn = false;
  #onIdle: (() => void) | undefined;
  #retry: { readonly timer: Timer; readonly batch: Batch; readonly at: number } | undefined;
  #closeUntilMs = Number.POSITIVE_INFINITY;

  /** Throws Node's error when the file cannot be opened. */
  constructor(options: AccessLogOptions) {
    this.#ownsFd = options.file !== undefined;
    this.#fd = options.file === undefined ? 1 : openSync(options.file, openFlags, 0o640);
    this.#random = options.random;
    this.#clock = options.clock;
  }

  /** Whether a request that ended so is written at all; ask before anything is put together. */
  wants(status: number, flags: number): boolean {
    switch (this.mode) {
      case 'all':
        return true;
      case 'errors':
        return isFailure(status, flags);
      case 'sampled':
        return isFailure(status, flags) || this.#random() * 1000 < sampledPerThousand;
      case 'none':
        return false;
    }
  }

  write(outcome: Outcome): void {
    if (this.#pendingBytes >= maxPendingBytes) {
      this.dropped++;
      return;
    }
    const line = lineOf(outcome);
    this.#lines.push(line);
    this.#pendingBytes += line.length;
    if (!this.#writing) this.#drain();
  }

  /** Resolves when everything pending is written, or cannot be; then the file is closed. */
  close(): Promise<void> {
    this.#closeUntilMs = this.#clock.nowMs() + closingMs;
    const retry = this.#retry;
    this.#retry = undefined;
    retry?.timer.cancel();
    if (retry !== undefined) this.#writeFrom(retry.batch, retry.at);
    return new Promise((resolve) => {
      const finish = () => {
        if (this.#ownsFd) closeSync(this.#fd);
        resolve();
      };
      if (this.#writing) this.#onIdle = finish;
      else finish();
    });
  }

  #drain(): void {
    this.#writing = true;
    this.#batch ??= Buffer.allocUnsafeSlow(batchBytes);
    let batch = this.#batch;
    let size = 0;
    let count = 0;
    if (this.#isTorn) size += batch.write('\n');
    this.#isTorn = false;
    for (const line of this.#lines) {
      // A character is three bytes of UTF-8 at most.
      const mostBytes = line.length * 3;
      if (count > 0 && mostBytes > batchBytes - size) break;
      if (mostBytes > batchBytes) batch = Buffer.from(line, 'utf8');
      size += batch === this.#batch ? batch.write(line, size, 'utf8') : batch.length;
      this.#pendingBytes -= line.length;
      count++;
      if (batch !== this.#batch) break;
    }
    this.#lines.splice(0, count);
    this.#writeFrom({ bytes: batch, size, lines: count }, 0);
  }

  #writeFrom(batch: Batch, at: number): void {
    const { bytes, size, lines } = batch;
    write(this.#fd, bytes, at, size - at, null, (error, written) => {
      if (error === null && at + written < size) return this.#writeFrom(batch, at + written);
      if (error?.code === 'EAGAIN' && this.#clock.nowMs() < this.#closeUntilMs) {
        this.#writeSoon(batch, at);
        return;
      }
      // A full disk costs log lines, never requests.
      if (error !== null) {
        this.dropped += lines;
        this.#isTorn = at > 0;
      }
      if (this.#lines.length > 0) this.#drain();
      else {
        this.#writing = false;
        this.#onIdle?.();
      }
    });
  }

  /** Its reader is behind. At the end there is nothing else to wait for, and no timer would keep the process. */
  #writeSoon(batch: Batch, at: number): void {
    if (this.#closeUntilMs < Number.POSITIVE_INFINITY) this.#writeFrom(batch, at);
    else {
      const timer = this.#clock.after(retryMs, () => {
        this.#retry = undefined;
        this.#writeFrom(batch, at);
      });
      this.#retry = { timer, batch, at };
    }
  }
}

/** Lines on their way. */
interface Batch {
  readonly bytes: Buffer;
  readonly size: number;
  readonly lines: number;
}

/** That a caller came without mTLS is no failure where it may: it would make a line of every request. */
function isFailure(status: number, flags: number): boolean {
  return status >= 500 || status === 0 || (flags & ~flag.plaintext) !== 0;
}

/** `JSON.stringify` escapes CR, LF and every control character, so no value can begin a line of its own. */
function lineOf(outcome: Outcome): string {
  return `${JSON.stringify({
    time: new Date(outcome.startedWallMs).toISOString(),
    direction: outcome.direction,
    protocol: outcome.protocol,
    method: outcome.method,
    authority: clip(outcome.authority),
    path: clip(outcome.path),
    status: outcome.status,
    grpcStatus: outcome.grpcStatus,
    flags: flagNames(outcome.flags),
    route: outcome.route,
    cluster: outcome.cluster,
    endpoint: outcome.endpoint,
    attempts: outcome.attempts,
    source: outcome.source,
    downstream: outcome.downstreamAddress,
    requestBytes: outcome.requestBytes,
    responseBytes: outcome.responseBytes,
    durationMs: round(outcome.durationMs),
    firstByteMs: round(outcome.firstByteMs),
    requestId: clip(outcome.requestId),
    detail: outcome.detail === '' ? undefined : clip(outcome.detail),
  })}\n`;
}

function clip(text: string): string {
  return text.length > longestText ? `${text.slice(0, longestText)}…` : text;
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
