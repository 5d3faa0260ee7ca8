/** Two codecs back to back: requests of one server codec go to one client codec over shared connections, with back-pressure and nothing else. */

import { connect } from 'node:net';
import { MeshError } from '../../kit/errors.ts';
import type {
  ClientConnection,
  ClientConnectionOwner,
  ClientStream,
  Codec,
  CodecOptions,
  RequestAcceptor,
  RequestHead,
  RequestReceiver,
  ResponseHead,
  ResponseReceiver,
  ServerStream,
} from '../../sidecar/codec/codec.ts';
import type { Field } from '../../sidecar/codec/field.ts';
import { listen } from '../../sidecar/net/listener.ts';
import { type ConnServices, SocketConn } from '../../sidecar/net/socket-conn.ts';

export interface CodecBridgeInit {
  readonly services: ConnServices;
  readonly server: Codec;
  readonly serverOptions: CodecOptions;
  readonly client: Codec;
  readonly clientOptions: CodecOptions;
  readonly upstreamPort: number;
}

export interface CodecBridge {
  readonly port: number;
  /** Requests that were refused before they became one. */
  readonly refused: number[];
  close(): void;
}

/** Listens on 127.0.0.1 and passes everything to 127.0.0.1:`upstreamPort`, over as few connections as the codec allows. */
export async function startCodecBridge(init: CodecBridgeInit): Promise<CodecBridge> {
  const { services } = init;
  const pool = new Pool(init);
  const conns = new Set<SocketConn>();
  const refused: number[] = [];
  const listener = await listen({ host: '127.0.0.1', port: 0 }, (socket) => {
    const conn = new SocketConn(socket, services, { origin: 'downstream' });
    conns.add(conn);
    const acceptor: RequestAcceptor = {
      onRequest: (stream, head, end) => new Exchange(pool, stream, head, end),
      onRefused: (status) => refused.push(status),
      onFlooded: () => {},
      onConnectionClosed: () => conns.delete(conn),
    };
    init.server.serve(conn, acceptor, init.serverOptions);
  });
  return {
    port: listener.port,
    refused,
    close() {
      listener.close();
      const error = new MeshError('draining', 'the proxy stops', { origin: 'local' });
      for (const conn of conns) conn.destroy(error);
      pool.close(error);
    },
  };
}

class Pool implements ClientConnectionOwner {
  readonly #init: CodecBridgeInit;
  readonly #connections = new Set<ClientConnection>();

  constructor(init: CodecBridgeInit) {
    this.#init = init;
  }

  pick(): ClientConnection {
    for (const connection of this.#connections) if (connection.available > 0) return connection;
    const socket = connect({
      host: '127.0.0.1',
      port: this.#init.upstreamPort,
      allowHalfOpen: true,
      noDelay: true,
    });
    const conn = new SocketConn(socket, this.#init.services, {
      origin: 'upstream',
      peer: { address: '127.0.0.1', port: this.#init.upstreamPort, tls: undefined },
    });
    const connection = this.#init.client.connect(conn, this, this.#init.clientOptions);
    this.#connections.add(connection);
    return connection;
  }

  close(error: MeshError): void {
    for (const connection of this.#connections) connection.destroy(error);
  }

  onAvailable(): void {}
  onUnavailable(): void {}
  onClosed(connection: ClientConnection): void {
    this.#connections.delete(connection);
  }
}

class Exchange implements RequestReceiver, ResponseReceiver {
  readonly #down: ServerStream;
  readonly #up: ClientStream;
  #isOver = false;

  constructor(pool: Pool, stream: ServerStream, head: RequestHead, end: boolean) {
    this.#down = stream;
    this.#up = pool.pick().request(head, end, this);
  }

  onRequestData(chunk: Buffer): void {
    if (!this.#up.sendData(chunk)) this.#down.pauseRequest();
  }
  onRequestEnd(trailers: readonly Field[] | undefined): void {
    this.#up.sendEnd(trailers);
  }
  onRequestAborted(error: MeshError): void {
    if (!this.#isOver) this.#up.cancel(error);
    this.#isOver = true;
  }
  onResponseWritable(): void {
    this.#up.resumeResponse();
  }
  onInformational(head: ResponseHead): void {
    this.#down.sendInformational(head);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.#down.sendResponse(head, end);
  }
  onResponseData(chunk: Buffer): void {
    if (!this.#down.sendData(chunk)) this.#up.pauseResponse();
  }
  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.#down.sendEnd(trailers);
  }
  onResponseAborted(error: MeshError): void {
    if (!this.#isOver) this.#down.reset(error);
    this.#isOver = true;
  }
  onRequestWritable(): void {
    this.#down.resumeRequest();
  }
}
