/** Listens for the admin page where the bootstrap says: a Unix socket that only its owner opens, or loopback. */
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { MeshError } from '../../kit/errors.ts';
import type { AdminAddress } from '../../mesh/bootstrap.ts';
import type { Codec, ServerConnection } from '../codec/codec.ts';
import type { FieldMemo } from '../codec/field-memo.ts';
import { type Listener, listen } from '../net/listener.ts';
import { type ConnServices, SocketConn } from '../net/socket-conn.ts';
import { AdminAcceptor, type AdminActions } from './admin.ts';

export interface AdminServices {
  readonly net: ConnServices;
  readonly codecs: ReadonlyMap<string, Codec>;
  readonly memo: FieldMemo;
}

const idleMs = 60_000;
/** Whoever reads pages holds few connections. */
const maxConnections = 64;

export class AdminServer {
  readonly #services: AdminServices;
  readonly #actions: AdminActions;
  readonly #connections = new Set<ServerConnection>();
  #listener: Listener | undefined;
  #server: Server | undefined;

  constructor(services: AdminServices, actions: AdminActions) {
    this.#services = services;
    this.#actions = actions;
  }

  /** `inherited` is the loopback port's descriptor; throws a MeshError that says what cannot be opened. */
  async open(address: AdminAddress, inherited: number | undefined): Promise<void> {
    const onSocket = (socket: Socket) => this.#serve(socket);
    if ('port' in address) {
      const fd = inherited === undefined ? {} : { fd: inherited };
      this.#listener = await listen(
        { host: '127.0.0.1', port: address.port, maxConnections, ...fd },
        onSocket,
      );
      return;
    }
    // Bound under another name and then renamed: a predecessor's socket gives way in one step, and what Node
    // removes when the predecessor closes is the name it bound, not ours.
    const own = `${address.socket}.${process.pid}`;
    rmSync(own, { force: true });
    const server = createServer({ allowHalfOpen: true }, onSocket);
    server.maxConnections = maxConnections;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) =>
        reject(
          new MeshError('unavailable', `cannot listen on ${address.socket}: ${cause.message}`, {
            origin: 'local',
            cause,
          }),
        ),
      );
      server.listen(own, resolve);
    });
    chmodSync(own, 0o600);
    renameSync(own, address.socket);
    this.#server = server;
  }

  /** The descriptor of the loopback port; a Unix socket is opened anew by every process. */
  get fd(): number | undefined {
    return this.#listener?.fd;
  }

  /** A successor answers from now on; connections end with their next answer. */
  handOver(): void {
    this.#listener?.close();
    this.#server?.close();
    for (const connection of this.#connections) connection.drain();
  }

  close(): void {
    this.#listener?.close();
    this.#server?.close();
    const error = new MeshError('draining', 'the sidecar stops', { origin: 'local' });
    for (const connection of [...this.#connections]) connection.destroy(error);
  }

  #serve(socket: Socket): void {
    const { codecs, net, memo } = this.#services;
    const codec = codecs.get('http1') as Codec;
    const conn = new SocketConn(socket, net, { origin: 'downstream' });
    const acceptor = new AdminAcceptor(this.#actions, () => this.#connections.delete(connection));
    const connection = codec.serve(conn, acceptor, { link: false, idleMs, timers: net.timers, memo });
    this.#connections.add(connection);
  }
}
