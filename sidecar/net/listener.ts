/**
 * Listening sockets: accepted sockets are handed on with an error listener and options set, nothing more.
 *
 * Never with `reusePort`: two sidecars of one user would share a port without an error, and requests would leave
 * under the wrong identity.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { MeshError } from '../../kit/errors.ts';
import type { DescriptorBudget } from './descriptors.ts';
import { openListeningSocket } from './listen-fd.ts';
import { codeOf, listenError } from './node-errors.ts';

/** Connections that the kernel may hold for us; the kernel caps it by net.core.somaxconn. */
const defaultBacklog = 4096;
const keepAliveInitialDelayMs = 60_000;
/** How often a free port of 127.0.0.1 is tried that is also free on ::1. */
const maxPairAttempts = 10;

export interface ListenOptions {
  /** A literal address. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** An inherited listening socket, used instead of opening one; `host` and `port` then only describe it. */
  readonly fd?: number;
  readonly backlog?: number;
  /** Connections beyond are dropped at accept and counted. */
  readonly maxConnections?: number;
  /** Where accepted connections take their place, together with those of other listeners. */
  readonly descriptors?: DescriptorBudget;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** The socket's descriptor, for a successor; undefined where it is not known. */
  readonly fd: number | undefined;
  /** Connections dropped because of `maxConnections` or the budget of descriptors. */
  readonly dropped: number;
  /** Stops accepting, at once; accepted connections stay. Calling it twice is harmless. */
  close(): void;
}

/** Listens, or throws a `MeshError` that says what, where and what to do. */
export async function listen(options: ListenOptions, onSocket: (socket: Socket) => void): Promise<Listener> {
  const where = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`;
  const backlog = options.backlog ?? defaultBacklog;
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveInitialDelayMs,
  });
  if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
  let dropped = 0;
  server.on('drop', () => {
    dropped++;
  });
  const { descriptors } = options;
  server.on('connection', (socket) => {
    socket.on('error', ignoreError);
    if (descriptors !== undefined) {
      if (!descriptors.takeDownstream()) {
        dropped++;
        socket.destroy();
        return;
      }
      socket.on('close', descriptors.giveBackDownstream);
    }
    onSocket(socket);
  });
  let fd: number | undefined;
  try {
    fd = options.fd ?? openListeningSocket(options, backlog);
    await startListening(server, fd === undefined ? { ...options, backlog } : { fd, backlog });
  } catch (cause) {
    throw listenError(cause, where);
  }
  // What happens later (EMFILE at accept) costs single connections, which their clients see; it is not an end.
  server.on('error', ignoreError);
  const bound = server.address();
  if (bound === null || typeof bound === 'string') {
    server.close();
    throw new MeshError('unavailable', `descriptor ${fd} is not a TCP socket`, { origin: 'local' });
  }
  return {
    host: bound.address,
    port: bound.port,
    fd,
    get dropped() {
      return dropped;
    },
    close: () => {
      if (server.listening) server.close();
    },
  };
}

/**
 * Listens on the same port of 127.0.0.1 and ::1, for applications that say `localhost`.
 * A machine without IPv6 has the first alone.
 */
export async function listenLocal(
  options: Omit<ListenOptions, 'host' | 'fd'>,
  onSocket: (socket: Socket) => void,
): Promise<Listener[]> {
  for (let attempt = 1; ; attempt++) {
    const v4 = await listen({ ...options, host: '127.0.0.1' }, onSocket);
    try {
      return [v4, await listen({ ...options, host: '::1', port: v4.port }, onSocket)];
    } catch (error) {
      if (isFamilyMissing(error)) return [v4];
      v4.close();
      const code = error instanceof MeshError ? codeOf(error.cause) : '';
      const another = options.port === 0 && code === 'EADDRINUSE' && attempt < maxPairAttempts;
      if (!another) throw error;
    }
  }
}

/** Whether `listen` failed because the machine lacks the address or its whole family. */
export function isFamilyMissing(error: unknown): boolean {
  const code = error instanceof MeshError ? codeOf(error.cause) : '';
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
}

function startListening(
  server: Server,
  where:
    | { readonly host: string; readonly port: number; readonly backlog: number }
    | { fd: number; backlog: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A socket or server without an error listener would end the process; whoever takes it adds a real one. */
function ignoreError(): void {}
