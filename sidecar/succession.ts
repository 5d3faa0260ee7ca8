/**
 * Replacing a sidecar process without closing a door: the successor inherits the listening sockets, serves, and
 * says so; then the predecessor drains. The sockets travel as sd_listen_fds(3) has it, so that systemd can do the
 * same; their names are percent-encoded, because that list is separated by colons.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { systemClock } from '../kit/clock.ts';
import { MeshError } from '../kit/errors.ts';
import type { InheritedDescriptor } from './net/listen-fd.ts';

/** A listening socket: what it is for, and its descriptor. */
export interface OpenSocket {
  readonly name: string;
  readonly fd: number;
}

/** The admin page's loopback port among the sockets. */
export const adminSocketName = 'admin';

/** What a successor sends over its channel when it serves. */
export const successorReady = 'heddle sidecar ready';

/** How long a successor may take until it serves. */
const successorMs = 30_000;

/** The sockets a process was started with; each is taken once. */
export class InheritedSockets {
  readonly #byName: Map<string, number>;

  constructor(descriptors: readonly InheritedDescriptor[]) {
    this.#byName = new Map(descriptors.map(({ name, fd }) => [decodeURIComponent(name), fd]));
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  take(name: string): number | undefined {
    const fd = this.#byName.get(name);
    this.#byName.delete(name);
    return fd;
  }

  /** Closes what the configuration has no use for any more, so that nobody connects to a door without a room. */
  closeRest(): void {
    for (const fd of this.#byName.values()) closeSync(fd);
    this.#byName.clear();
  }
}

/** The environment of a process that is given these sockets from descriptor 3 on. */
export function listenEnvironment(
  sockets: readonly OpenSocket[],
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return {
    ...environment,
    LISTEN_FDS: String(sockets.length),
    LISTEN_FDNAMES: sockets.map(({ name }) => encodeURIComponent(name)).join(':'),
    // It names the process that the sockets were for before.
    LISTEN_PID: undefined,
  };
}

/**
 * Starts this program again, with the same arguments and these sockets; resolves when it serves. Rejects where it
 * ends or takes too long before; it is ended then, and also where `signal` is aborted before it serves.
 */
export function startSuccessor(
  sockets: readonly OpenSocket[],
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  const env = listenEnvironment(sockets, environment);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    // A session of its own: signals to the predecessor's group are not meant for it.
    detached: true,
    env,
    stdio: ['ignore', 'inherit', 'inherit', ...sockets.map(({ fd }) => fd), 'ipc'],
  });
  return new Promise((resolve, reject) => {
    const timer = systemClock.after(successorMs, () => {
      child.kill('SIGKILL');
      fail(`it did not serve within ${successorMs} ms`);
    });
    const giveUp = () => child.kill('SIGTERM');
    signal.addEventListener('abort', giveUp, { once: true });
    const fail = (why: string, cause?: unknown) => {
      timer.cancel();
      signal.removeEventListener('abort', giveUp);
      reject(new MeshError('unavailable', `successor: ${why}`, { origin: 'local', cause }));
    };
    child.once('error', (cause) => fail(cause.message, cause));
    child.once('exit', (code, killed) => fail(`it ended with ${killed ?? code} before it served`));
    child.on('message', (message) => {
      if (message !== successorReady) return;
      timer.cancel();
      signal.removeEventListener('abort', giveUp);
      child.disconnect();
      child.unref();
      resolve();
    });
  });
}
