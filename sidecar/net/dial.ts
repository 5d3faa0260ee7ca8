/**
 * Connects to literal addresses: no name look-up, no happy eyeballs (endpoints are addresses, and a second try is
 * the balancer's matter).
 */
import { connect, isIP, type Socket } from 'node:net';
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { DescriptorBudget } from './descriptors.ts';
import { dialError } from './node-errors.ts';
import { type ConnServices, SocketConn } from './socket-conn.ts';

const keepAliveInitialDelayMs = 60_000;

export interface DialTarget {
  /** A literal IPv4 or IPv6 address. */
  readonly address: string;
  readonly port: number;
}

export interface DialOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Gives up; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Where the connection takes its place. */
  readonly descriptors?: DescriptorBudget;
  /** Gets the socket before it is connected. */
  readonly onSocket?: ((socket: Socket) => void) | undefined;
}

/** A plaintext connection; rejects with a `MeshError` of origin upstream and retry always. */
export async function dial(
  target: DialTarget,
  services: ConnServices,
  options: DialOptions,
): Promise<SocketConn> {
  const { descriptors } = services;
  const socket = await connectSocket(
    target,
    descriptors === undefined ? options : { ...options, descriptors },
  );
  const peer = { address: target.address, port: target.port, tls: undefined };
  return new SocketConn(socket, services, { origin: 'upstream', peer });
}

/** The connected socket alone, half-open and without delay, for TLS to be put on. */
export function connectSocket(target: DialTarget, options: DialOptions): Promise<Socket> {
  const where = target.address.includes(':')
    ? `[${target.address}]:${target.port}`
    : `${target.address}:${target.port}`;
  return new Promise((resolve, reject) => {
    const { signal } = options;
    if (signal?.aborted) return reject(signal.reason);
    if (isIP(target.address) === 0) {
      return reject(dialError(new Error('not a literal address'), where));
    }
    const { descriptors } = options;
    if (descriptors?.takeUpstream() === false) {
      const message = `no descriptor left for a connection to ${where}`;
      return reject(new MeshError('limit_exceeded', message, { origin: 'local' }));
    }
    const socket = connect({
      host: target.address,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveInitialDelayMs,
      autoSelectFamily: false,
    });
    if (descriptors !== undefined) socket.on('close', descriptors.giveBackUpstream);
    options.onSocket?.(socket);
    const settle = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
      socket.off('connect', onConnect);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onConnect = (): void => {
      settle();
      resolve(socket);
    };
    const onAbort = (): void => fail(signal?.reason);
    const timer = options.clock.after(options.timeoutMs, () =>
      fail(
        new MeshError('connect_timeout', `cannot connect to ${where} within ${options.timeoutMs} ms`, {
          origin: 'upstream',
          retry: 'always',
        }),
      ),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('connect', onConnect);
    // It stays for the socket's whole life: after the promise is settled, failing again does nothing.
    socket.on('error', (cause) => fail(dialError(cause, where)));
  });
}
