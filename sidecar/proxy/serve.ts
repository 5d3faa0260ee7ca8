/**
 * What the exchanges of one process and of one downstream connection share, and how a connection's requests
 * become exchanges.
 */
import type { Clock } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import type {
  HttpVersion,
  RequestAcceptor,
  RequestHead,
  RequestReceiver,
  ServerConnection,
  ServerStream,
} from '../codec/codec.ts';
import type { Peer } from '../net/conn.ts';
import type { TimerWheel } from '../net/timer-wheel.ts';
import { portAskedBy } from '../net/tls-names.ts';
import type { AccessLog } from '../observe/access-log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { SeriesSet } from '../observe/series.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bodyTooLong, isTooLong } from './body-bound.ts';
import { Exchange } from './exchange.ts';
import type { LiveList } from './live-list.ts';
import type { Pressure } from './pressure.ts';
import type { RequestIds } from './request-ids.ts';
import { noConnect } from './respond.ts';
import type { DateStamp } from './stamp.ts';
import type { Tunnel } from './tunnel.ts';

/** One per process. */
export interface ProxyState {
  /** The configuration in force; replaced by assignment. */
  runtime: Runtime;
  readonly clock: Clock;
  readonly timers: TimerWheel;
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
  readonly requestIds: RequestIds;
  readonly dates: DateStamp;
  readonly random: Random;
  readonly live: LiveList;
  readonly log: Log;
  /** How short memory is. */
  readonly pressure: Pressure;
  /** All opaque connections. */
  readonly tunnels: Set<Tunnel>;
  /** Opaque connections to the application, for a changed authorization to judge again. */
  readonly inboundTunnels: Set<InboundTunnel>;
}

export interface InboundTunnel {
  readonly tunnel: Tunnel;
  readonly peer: Peer;
  readonly port: number;
}

/** Decides where a request goes: calls `forward`, `refuse` or an `answer…` of the exchange, now or later. */
export interface Planner {
  readonly direction: 'inbound' | 'outbound';
  plan(exchange: Exchange): void;
  /** Takes a CONNECT, whose bytes are no request; undefined where such a one is planned like any other. */
  readonly connect?: ConnectHandler | undefined;
  /** Where requests are counted for which nothing was planned. */
  readonly unrouted: SeriesSet;
}

export interface ServeInit {
  readonly proxy: ProxyState;
  readonly planner: Planner;
  readonly protocol: HttpVersion;
  readonly peer: Peer;
  readonly isLink: boolean;
  /** All that are being served; it is among them until it closes. */
  readonly connections: Set<ServeContext>;
}

export type ConnectHandler = (peer: Peer, stream: ServerStream, head: RequestHead) => RequestReceiver;

/** The requests of one downstream connection. */
export class ServeContext implements RequestAcceptor {
  readonly proxy: ProxyState;
  readonly planner: Planner;
  readonly direction: 'inbound' | 'outbound';
  readonly unrouted: SeriesSet;
  readonly protocol: HttpVersion;
  readonly peer: Peer;
  /** A link carries many callers' requests and costs as much as one of their connections: it is kept. */
  readonly isLink: boolean;
  /** The port that requests mean which name none: on a link the one that its handshake asked for. Or -1. */
  readonly linkPort: number;
  /** The receiver's series for this caller, by port; the inbound planner fills it. */
  readonly seriesByPort = new Map<number, SeriesSet>();
  readonly #connections: Set<ServeContext>;
  connection: ServerConnection | undefined;

  constructor({ proxy, planner, protocol, peer, isLink, connections }: ServeInit) {
    this.proxy = proxy;
    this.planner = planner;
    this.direction = planner.direction;
    this.unrouted = planner.unrouted;
    this.protocol = protocol;
    this.peer = peer;
    this.isLink = isLink;
    this.linkPort = isLink ? portAskedBy(peer) : -1;
    this.#connections = connections;
    connections.add(this);
    proxy.metrics.accepted++;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): RequestReceiver {
    const { pressure } = this.proxy;
    const { connect } = this.planner;
    const isConnect = head.method === 'CONNECT' && head.protocol === undefined;
    if (isConnect && connect !== undefined && !pressure.sheds) {
      return withEnd(connect(this.peer, stream, head), end);
    }
    const exchange = new Exchange(this, stream, head, end);
    if (pressure.closesConnections && !this.isLink) this.connection?.drain();
    try {
      if (pressure.sheds) shed(exchange, pressure);
      else if (isConnect) exchange.answer(noConnect, 'CONNECT is not carried here');
      else if (head.protocol !== undefined && head.protocol !== 'websocket') refuseProtocol(exchange);
      else if (isTooLong(head, head.contentLength)) exchange.refuse(bodyTooLong());
      else this.planner.plan(exchange);
    } catch (thrown) {
      // Our own bug ends this exchange and nothing else.
      this.proxy.log.error('exchange failed', {
        path: head.path,
        stack: thrown instanceof Error ? thrown.stack : '',
      });
      exchange.refuse(new MeshError('internal', messageOf(thrown), { origin: 'local', cause: thrown }));
    }
    return exchange;
  }

  onRefused(status: number, error: MeshError): void {
    this.proxy.metrics.refused++;
    this.proxy.log.debug('message refused', { status, reason: error.message, from: this.peer.address });
  }

  onFlooded(error: MeshError): void {
    this.proxy.metrics.floods++;
    this.proxy.log.debug('flood ended', { reason: error.message, from: this.peer.address });
  }

  onConnectionClosed(): void {
    this.#connections.delete(this);
  }
}

/** A caller that has nothing to send may say so at once; the other direction goes on. */
function withEnd(receiver: RequestReceiver, end: boolean): RequestReceiver {
  if (end) receiver.onRequestEnd(undefined);
  return receiver;
}

/** An upgrade to anything else, h2c above all, would lead past every rule of the mesh (RFC 8441 §4: 501). */
function refuseProtocol(exchange: Exchange): void {
  const message = `:protocol ${exchange.head.protocol} is not carried, only websocket`;
  exchange.refuse(new MeshError('not_implemented', message, { origin: 'local' }));
}

function shed(exchange: Exchange, pressure: Pressure): void {
  pressure.shed++;
  exchange.refuse(new MeshError('overloaded', 'this sidecar is short of memory', { origin: 'local' }));
}
