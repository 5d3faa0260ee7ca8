/**
 * The shortest possible hop: a server codec, a client codec and pumps between, over real sockets. It shows what the
 * codecs alone do; routing, policies and retries are the sidecar's own proxy.
 */
import type { Socket } from 'node:net';
import { systemClock } from '../../kit/clock.ts';
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
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { dial } from '../../sidecar/net/dial.ts';
import { createFlusher } from '../../sidecar/net/flush.ts';
import { type Listener, listen } from '../../sidecar/net/listener.ts';
import { type ConnServices, SocketConn } from '../../sidecar/net/socket-conn.ts';
import { TimerWheel } from '../../sidecar/net/timer-wheel.ts';

export interface StraightProxyOptions {
  readonly codec: Codec;
  readonly upstreamPort: number;
  /** Milliseconds until an upstream that says nothing costs a 504; without it nothing is waited for in vain. */
  readonly responseMs?: number;
  readonly listenPort?: number;
  readonly codecOptions?: Partial<CodecOptions>;
}

export interface StraightProxy {
  readonly port: number;
  /** Requests that reached an upstream connection. */
  readonly requests: number;
  close(): void;
}

export async function startStraightProxy(options: StraightProxyOptions): Promise<StraightProxy> {
  const timers = new TimerWheel(systemClock);
  const services: ConnServices = { flusher: createFlusher(), timers };
  const codecOptions: CodecOptions = {
    link: false,
    idleMs: 60_000,
    timers,
    memo: new FieldMemo(1),
    ...options.codecOptions,
  };
  const upstream = new Upstream(options, services, codecOptions);
  const sockets = new Set<Socket>();
  const listener: Listener = await listen({ host: '127.0.0.1', port: options.listenPort ?? 0 }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    const conn = new SocketConn(socket, services, { origin: 'downstream' });
    options.codec.serve(conn, new Acceptor(upstream, options.responseMs), codecOptions);
  });
  return {
    port: listener.port,
    get requests() {
      return upstream.requests;
    },
    close: () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
      upstream.close();
    },
  };
}

/** A pool without bounds towards one address. */
class Upstream implements ClientConnectionOwner {
  requests = 0;
  readonly #options: StraightProxyOptions;
  readonly #services: ConnServices;
  readonly #codecOptions: CodecOptions;
  readonly #idle: ClientConnection[] = [];
  readonly #all = new Set<ClientConnection>();

  constructor(options: StraightProxyOptions, services: ConnServices, codecOptions: CodecOptions) {
    this.#options = options;
    this.#services = services;
    this.#codecOptions = codecOptions;
  }

  /** The receiver's request goes out at once where a connection is idle, else once one is open. */
  request(exchange: StraightExchange): void {
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      this.#start(idle, exchange);
      return;
    }
    dial({ address: '127.0.0.1', port: this.#options.upstreamPort }, this.#services, {
      clock: systemClock,
      timeoutMs: 5000,
    }).then(
      (conn) => {
        const connection = this.#options.codec.connect(conn, this, this.#codecOptions);
        this.#all.add(connection);
        this.#start(connection, exchange);
      },
      (error: MeshError) => exchange.onResponseAborted(error),
    );
  }

  onAvailable(connection: ClientConnection): void {
    this.#idle.push(connection);
  }

  onUnavailable(connection: ClientConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
  }

  onClosed(connection: ClientConnection): void {
    this.#all.delete(connection);
  }

  close(): void {
    const error = new MeshError('draining', 'proxy stops', { origin: 'local' });
    for (const connection of this.#all) connection.destroy(error);
  }

  #start(connection: ClientConnection, exchange: StraightExchange): void {
    if (exchange.isOver) {
      this.#idle.push(connection);
      return;
    }
    this.requests++;
    exchange.start(connection);
  }
}

class Acceptor implements RequestAcceptor {
  readonly #upstream: Upstream;
  readonly #responseMs: number | undefined;
  constructor(upstream: Upstream, responseMs: number | undefined) {
    this.#upstream = upstream;
    this.#responseMs = responseMs;
  }
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): RequestReceiver {
    const exchange = new StraightExchange(stream, head, end, this.#responseMs);
    this.#upstream.request(exchange);
    return exchange;
  }
  onRefused(): void {}
  onConnectionClosed(): void {}
}

class StraightExchange implements RequestReceiver, ResponseReceiver {
  isOver = false;
  readonly #down: ServerStream;
  readonly #head: RequestHead;
  readonly #end: boolean;
  #up: ClientStream | undefined = undefined;
  /** The body's beginning, while the upstream is dialled; the downstream is paused then. */
  #waiting: Buffer[] | undefined = undefined;
  #waitingEnd: { trailers: readonly Field[] | undefined } | undefined = undefined;
  #responded = false;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(down: ServerStream, head: RequestHead, end: boolean, responseMs: number | undefined) {
    this.#down = down;
    this.#head = head;
    this.#end = end;
    this.#timer = responseMs === undefined ? undefined : setTimeout(expire, responseMs, this).unref();
  }

  start(connection: ClientConnection): void {
    const up = connection.request(this.#head, this.#end, this);
    this.#up = up;
    if (this.#waiting !== undefined) {
      for (const chunk of this.#waiting) up.sendData(chunk);
      this.#waiting = undefined;
      this.#down.resumeRequest();
    }
    if (this.#waitingEnd !== undefined) up.sendEnd(this.#waitingEnd.trailers);
  }

  onRequestData(chunk: Buffer): void {
    if (this.#up === undefined) {
      this.#waiting ??= [];
      this.#waiting.push(chunk);
      this.#down.pauseRequest();
    } else if (!this.#up.sendData(chunk)) this.#down.pauseRequest();
  }
  onRequestEnd(trailers: readonly Field[] | undefined): void {
    if (this.#up === undefined) this.#waitingEnd = { trailers };
    else this.#up.sendEnd(trailers);
  }
  onRequestAborted(error: MeshError): void {
    this.#finish();
    this.#up?.cancel(error);
  }
  onResponseWritable(): void {
    this.#up?.resumeResponse();
  }

  onInformational(head: ResponseHead): void {
    this.#down.sendInformational(head);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.#responded = true;
    if (end || head.status === 101) this.#finish();
    this.#down.sendResponse(head, end);
  }
  onResponseData(chunk: Buffer): void {
    if (!this.#down.sendData(chunk)) this.#up?.pauseResponse();
  }
  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.#finish();
    this.#down.sendEnd(trailers);
  }
  onResponseAborted(error: MeshError): void {
    this.#finish();
    if (this.#responded) this.#down.reset(error);
    else this.#answer(502);
  }
  onRequestWritable(): void {
    this.#down.resumeRequest();
  }

  expire(): void {
    if (this.isOver) return;
    this.#finish();
    const error = new MeshError('deadline_exceeded', 'no response in time', { origin: 'upstream' });
    this.#up?.cancel(error);
    if (this.#responded) this.#down.reset(error);
    else this.#answer(504);
  }

  #answer(status: number): void {
    this.#down.sendResponse({ status, fields: [], contentLength: 0 }, true);
  }

  #finish(): void {
    this.isOver = true;
    clearTimeout(this.#timer);
  }
}

function expire(exchange: StraightExchange): void {
  exchange.expire();
}
