/**
 * The access log: one JSON line per request, written by ourselves into a bounded buffer that a file
 * descriptor drains in the background. When the disk is slower than the traffic, lines are dropped and counted,
 * never requests delayed.
 */
import { closeSync, openSync, write } from 'node:fs';
import type { AccessLogMode } from '../../mesh/model.ts';
import { flag, flagNames } from './flags.ts';
import type { Outcome } from './outcome.ts';

/** Bytes waiting at most; beyond, lines are dropped. */
const maxPendingBytes = 1024 * 1024;
/** Of a thousand requests, how many the mode `sampled` writes besides all failures. */
const sampledPerThousand = 10;
const longestText = 2048;

export interface AccessLogOptions {
  /** A file to append to, or undefined for standard output. */
  readonly file: string | undefined;
  readonly random: () => number;
}

export class AccessLog {
  mode: AccessLogMode = 'errors';
  /** Lines that found no room. */
  dropped = 0;
  readonly #fd: number;
  readonly #ownsFd: boolean;
  readonly #random: () => number;
  #pending = '';
  #writing = false;
  #onIdle: (() => void) | undefined;

  /** Throws Node's error when the file cannot be opened. */
  constructor(options: AccessLogOptions) {
    this.#ownsFd = options.file !== undefined;
    this.#fd = options.file === undefined ? 1 : openSync(options.file, 'a', 0o640);
    this.#random = options.random;
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
    const line = lineOf(outcome);
    if (this.#pending.length + line.length > maxPendingBytes) {
      this.dropped++;
      return;
    }
    this.#pending += line;
    if (!this.#writing) this.#drain();
  }

  /** Resolves when everything pending is written; then the file is closed. */
  close(): Promise<void> {
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
    const batch = Buffer.from(this.#pending, 'utf8');
    this.#pending = '';
    this.#writing = true;
    this.#writeFrom(batch, 0);
  }

  #writeFrom(batch: Buffer, at: number): void {
    write(this.#fd, batch, at, batch.length - at, null, (error, written) => {
      // A full disk costs log lines, never requests.
      if (error !== null) this.dropped++;
      else if (at + written < batch.length) return this.#writeFrom(batch, at + written);
      this.#writing = false;
      if (this.#pending !== '') this.#drain();
      else this.#onIdle?.();
    });
  }
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
