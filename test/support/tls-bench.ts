/** One TLS listener of ours and peers of any manners around it, over real sockets. */
import { once } from 'node:events';
import { type AddressInfo, connect as connectPlain, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type ConnectionOptions, connect, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { type Clock, systemClock } from '../../kit/clock.ts';
import type { MeshError } from '../../kit/errors.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { MtlsMode } from '../../mesh/model.ts';
import type { PeerTls } from '../../sidecar/net/conn.ts';
import { createTlsAcceptor, type HandshakeLimits, type TlsAcceptor } from '../../sidecar/net/tls-accept.ts';
import { connectTls } from '../../sidecar/net/tls-connect.ts';
import { createCredentials } from '../../sidecar/net/tls-credentials.ts';
import { defer } from './cleanup.ts';

type Scope = Pick<TestContext, 'after'>;

export interface Refusal {
  readonly error: MeshError;
  readonly address: string;
}

export interface OurServer {
  readonly port: number;
  readonly acceptor: TlsAcceptor;
  readonly secure: PeerTls[];
  readonly refused: Refusal[];
  /** Application bytes that reached the handler, of all connections. */
  readonly received: () => string;
  /** Connections that reached the handler. */
  readonly sockets: TLSSocket[];
}

export interface OurServerOptions {
  readonly mode?: MtlsMode;
  readonly protocols?: readonly string[];
  readonly limits?: Partial<HandshakeLimits>;
  readonly clock?: Clock;
  /** Called instead of the echo. */
  readonly onSecure?: (socket: TLSSocket, peer: PeerTls) => void;
}

/** Our listener; it echoes what arrives. */
export async function ourServer(
  t: Scope,
  bundle: IdentityBundle,
  options: OurServerOptions = {},
): Promise<OurServer> {
  const secure: PeerTls[] = [];
  const refused: Refusal[] = [];
  const sockets: TLSSocket[] = [];
  let received = '';
  const acceptor = createTlsAcceptor({
    credentials: createCredentials(bundle),
    mode: options.mode ?? 'strict',
    protocols: options.protocols ?? ['h2'],
    clock: options.clock ?? systemClock,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    onSecure(socket, peer) {
      secure.push(peer);
      sockets.push(socket);
      if (options.onSecure !== undefined) {
        options.onSecure(socket, peer);
        return;
      }
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
        socket.write(chunk);
      });
    },
    onRefused: (error, address) => refused.push({ error, address }),
  });
  // Half-open like the sidecar's own listeners.
  const server = createServer({ allowHalfOpen: true }, (raw) => acceptor.accept(raw));
  const port = await listen(t, server);
  defer(t, () => acceptor.close());
  return { port, acceptor, secure, refused, received: () => received, sockets };
}

/** A server that shows `bundle` and asks nothing back. */
export async function strangeServer(t: Scope, bundle: IdentityBundle, protocols = ['h2']): Promise<number> {
  const server = createTlsServer({
    key: bundle.privateKey,
    cert: bundle.certificateChain,
    ALPNProtocols: protocols,
    ciphers: 'DEFAULT@SECLEVEL=0',
  });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => socket.on('error', () => {}));
  return listen(t, server);
}

export interface Visit {
  readonly socket: TLSSocket;
  /** What the server said until it closed. */
  readonly answer: () => string;
  readonly error: () => (Error & { code?: string }) | undefined;
  readonly closed: Promise<void>;
}

/** A caller that checks nothing, shows `bundle` if given, and sends `text` as soon as it may. */
export function strangeClient(
  t: Scope,
  port: number,
  bundle: Partial<IdentityBundle> | undefined,
  options: ConnectionOptions & { readonly text?: string } = {},
): Visit {
  let answer = '';
  let error: Error | undefined;
  const socket = connect({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    ciphers: 'DEFAULT@SECLEVEL=0',
    ...(bundle === undefined ? {} : { key: bundle.privateKey, cert: bundle.certificateChain }),
    ...options,
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', (thrown) => {
    error = thrown;
  });
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
  });
  socket.once('secureConnect', () => socket.write(options.text ?? 'request'));
  defer(t, () => {
    socket.destroy();
  });
  return { socket, answer: () => answer, error: () => error, closed };
}

export interface OurVisit {
  readonly socket: TLSSocket;
  readonly peer: PeerTls;
}

export interface OurClientOptions {
  readonly expected: string | ReadonlySet<string>;
  readonly protocol?: string;
  readonly serverName?: string;
  readonly clock?: Clock;
  readonly timeoutMs?: number;
}

/** Our client; rejects with the MeshError that `onFailed` gets. */
export async function ourClient(
  t: Scope,
  port: number,
  bundle: IdentityBundle,
  options: OurClientOptions,
): Promise<OurVisit> {
  const raw = await plainClient(t, port, { allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    connectTls(raw, {
      credentials: createCredentials(bundle),
      serverName: options.serverName ?? '80.orders.shop.mesh',
      protocol: options.protocol ?? 'h2',
      expected: options.expected,
      clock: options.clock ?? systemClock,
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
      onSecure: (socket, peer) => {
        socket.on('error', () => {});
        resolve({ socket, peer });
      },
      onFailed: reject,
    });
  });
}

export async function plainClient(
  t: Scope,
  port: number,
  options = { allowHalfOpen: false },
): Promise<Socket> {
  const socket = connectPlain({ port, host: '127.0.0.1', ...options });
  socket.on('error', () => {});
  defer(t, () => {
    socket.destroy();
  });
  await once(socket, 'connect');
  return socket;
}

/** Listens on a free port of loopback and ends with the test, connections included. */
export async function listen(t: Scope, server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(t, async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of open) socket.destroy();
    await closed;
  });
  return (server.address() as AddressInfo).port;
}
