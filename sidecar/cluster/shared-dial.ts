/** An opaque connection as a CONNECT stream on the link to its endpoint, for ports that are declared `shared`. */
import type { Clock, Timer } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Cluster } from '../../mesh/model.ts';
import type { ClientConnection, RequestHead } from '../codec/codec.ts';
import { ClientStreamConn, type ConnectResult } from '../codec/stream-conn.ts';
import type { Conn } from '../net/conn.ts';
import type { Host } from './live-cluster.ts';
import type { ConnectionWaiter } from './pool.ts';

/** Rejects with a MeshError where there is no link, or the receiver does not take the connection in time. */
export function dialShared(host: Host, cluster: Cluster, clock: Clock): Promise<Conn> {
  return new Promise((resolve, reject) => {
    host.pool.acquire(new SharedDial(host, cluster, clock, { resolve, reject }));
  });
}

interface Outcome {
  resolve(conn: Conn): void;
  reject(error: MeshError): void;
}

class SharedDial implements ConnectionWaiter, ConnectResult {
  readonly #host: Host;
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #outcome: Outcome;
  #timer: Timer | undefined;

  constructor(host: Host, cluster: Cluster, clock: Clock, outcome: Outcome) {
    this.#host = host;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#outcome = outcome;
  }

  onConnection(connection: ClientConnection): boolean {
    const { endpoint } = this.#host;
    const { connectMs } = this.#cluster.timeouts;
    const peer = { address: endpoint.addresses[0] ?? '', port: endpoint.port, tls: undefined };
    const conn = new ClientStreamConn(peer, this);
    this.#timer = this.#clock.after(connectMs, () => {
      const message = `${endpoint.id} does not take the connection within ${connectMs} ms`;
      const error = new MeshError('connect_timeout', message, { origin: 'upstream', retry: 'always' });
      conn.reset(error);
      this.onRefused(error);
    });
    conn.start(connection.request(this.#head(), false, conn));
    return true;
  }

  onConnectFailed(error: MeshError): void {
    this.onRefused(error);
  }

  onConnected(conn: Conn): void {
    this.#timer?.cancel();
    this.#outcome.resolve(conn);
  }

  onRefused(error: MeshError): void {
    this.#timer?.cancel();
    this.#outcome.reject(error);
  }

  /** RFC 9113 §8.5: `:method` and `:authority` alone. */
  #head(): RequestHead {
    const { service, port } = this.#cluster;
    const { portField } = this.#host;
    return {
      method: 'CONNECT',
      scheme: 'https',
      authority: `${service.name}.${service.namespace}:${port}`,
      path: '',
      fields: portField === undefined ? [] : [portField],
      contentLength: -1,
      protocol: undefined,
      expectContinue: false,
      acceptsTrailers: false,
    };
  }
}
