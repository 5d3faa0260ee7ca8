// hot: `plan` runs once per request.
/** What callers ask of the application beside this sidecar: who may, and on which of its ports. */
import { MeshError } from '../../kit/errors.ts';
import type { AccessRequest } from '../../mesh/decide/authorize.ts';
import { parseIdentity } from '../../mesh/identity.ts';
import type { RequestHead, RequestReceiver, ServerStream } from '../codec/codec.ts';
import { type Field, fieldKind } from '../codec/field.ts';
import { ServerStreamConn } from '../codec/stream-conn.ts';
import type { Peer } from '../net/conn.ts';
import { portAskedBy } from '../net/tls-names.ts';
import { flag } from '../observe/flags.ts';
import { SeriesSet } from '../observe/series.ts';
import type { Forwarding, InboundRuntime } from '../runtime/runtime.ts';
import type { Exchange } from './exchange.ts';
import { smallNumber } from './grpc.ts';
import { answerFor, respond } from './respond.ts';
import type { ConnectHandler, Planner, ProxyState } from './serve.ts';

export interface InboundOptions {
  /** The port behind a listener of its own; undefined on links, where each request names it. */
  readonly port: number | undefined;
  readonly unrouted: SeriesSet;
  /** Carries an opaque connection that came as a stream of a link to a port (-1: it named none). */
  readonly tunnel?: (conn: ServerStreamConn, port: number) => void;
}

export class InboundPlanner implements Planner {
  readonly direction = 'inbound';
  readonly unrouted: SeriesSet;
  readonly connect: ConnectHandler | undefined;
  readonly #port: number | undefined;

  constructor(options: InboundOptions) {
    this.#port = options.port;
    this.unrouted = options.unrouted;
    const { tunnel } = options;
    this.connect =
      tunnel === undefined ? undefined : (peer, stream, head) => takeConnect(tunnel, peer, stream, head);
  }

  plan(exchange: Exchange): void {
    const port = this.#port ?? exchange.linkPort;
    exchange.receiverPort = port;
    const inbound = exchange.runtime.inbound.get(port);
    if (inbound === undefined) {
      const message =
        port < 0 ? 'the request names no port of this workload' : `this workload serves no port ${port}`;
      exchange.refuse(new MeshError('no_route', message, { origin: 'local' }));
      return;
    }
    exchange.series = seriesOf(exchange, inbound);
    if (exchange.context.peer.tls?.identity === undefined) exchange.flags |= flag.plaintext;
    const refusal = refusalOf(exchange, inbound);
    if (refusal !== undefined) exchange.refuse(refusal);
    else exchange.forward(forwardingOf(exchange, inbound));
  }
}

/** On a port that is found out, the application is asked in the version that the caller speaks. */
function forwardingOf(exchange: Exchange, { forwarding, http2 }: InboundRuntime): Forwarding {
  if (http2 === undefined) return forwarding;
  const { isLink, protocol } = exchange.context;
  const isHttp2 = isLink ? exchange.header('heddle-version') === '2' : protocol === 'http2';
  return isHttp2 ? http2 : forwarding;
}

function takeConnect(
  tunnel: (conn: ServerStreamConn, port: number) => void,
  peer: Peer,
  stream: ServerStream,
  head: RequestHead,
): RequestReceiver {
  const conn = new ServerStreamConn(stream, peer, refuseConnect);
  tunnel(conn, namedPort(head.fields) ?? portAskedBy(peer));
  return conn;
}

function namedPort(fields: readonly Field[]): number | undefined {
  for (const field of fields) if (field.kind === fieldKind.heddlePort) return smallNumber(field.value);
  return undefined;
}

function refuseConnect(stream: ServerStream, error: MeshError): void {
  const answer = answerFor(error);
  if (answer.status === 0) stream.reset(error);
  else respond(stream, answer, error.message, false, undefined);
}

/** Ends the live requests and tunnels that the new runtime would not admit. */
export function reauthorize(proxy: ProxyState): void {
  const { runtime } = proxy;
  proxy.live.forEach((exchange) => {
    if (exchange.direction !== 'inbound') return;
    const inbound = runtime.inbound.get(exchange.receiverPort);
    const refusal = inbound === undefined ? undefined : refusalOf(exchange, inbound);
    if (refusal !== undefined) exchange.abort(refusal);
  });
  for (const { tunnel, peer, port } of proxy.inboundTunnels) {
    const inbound = runtime.inbound.get(port);
    const refusal = inbound === undefined ? undefined : whyRefused(inbound, peer, undefined, undefined);
    if (refusal !== undefined) tunnel.abort(refusal);
  }
}

function refusalOf(exchange: Exchange, inbound: InboundRuntime): MeshError | undefined {
  return whyRefused(inbound, exchange.context.peer, exchange.head.method, exchange.head.path);
}

/** Why the receiver does not admit this, or undefined where it does; bytes have no method or path. */
export function whyRefused(
  inbound: InboundRuntime,
  peer: Peer,
  method: string | undefined,
  path: string | undefined,
): MeshError | undefined {
  const identity = peer.tls?.identity;
  if (identity === undefined && inbound.port.mtls === 'strict') {
    const message = `port ${inbound.port.port} takes callers with a mesh identity only`;
    return new MeshError('denied', message, { origin: 'local' });
  }
  if (inbound.authorization.isEmpty) return undefined;
  access.principal = identity;
  access.namespace = identity === undefined ? undefined : namespaceOf(identity);
  access.method = method;
  access.path = path;
  access.port = inbound.port.port;
  const verdict = inbound.authorization.check(access);
  if (verdict.allowed) return undefined;
  const why =
    verdict.policy === undefined ? 'no policy allows it' : `policy ${verdict.policy} rule ${verdict.rule}`;
  return new MeshError('denied', `denied by authorization: ${why}`, { origin: 'local' });
}

/** One object for all checks: they are synchronous. */
const access: { -readonly [K in keyof AccessRequest]: AccessRequest[K] } = {
  principal: undefined,
  namespace: undefined,
  method: undefined,
  path: undefined,
  port: 0,
};

/** Callers seen, so that a name is taken apart once; cleared when full. */
const maxNamespaces = 4096;
const namespaces = new Map<string, string | undefined>();

function namespaceOf(identity: string): string | undefined {
  if (namespaces.has(identity)) return namespaces.get(identity);
  if (namespaces.size >= maxNamespaces) namespaces.clear();
  const parsed = parseIdentity(identity);
  const namespace = parsed?.kind === 'workload' ? parsed.namespace : undefined;
  namespaces.set(identity, namespace);
  return namespace;
}

function seriesOf(exchange: Exchange, inbound: InboundRuntime): SeriesSet {
  const { context } = exchange;
  const { port } = inbound.port;
  const known = context.seriesByPort.get(port);
  if (known !== undefined) return known;
  const { self } = exchange.runtime.snapshot;
  const made = new SeriesSet(context.proxy.metrics, {
    direction: 'inbound',
    destination: `${self.namespace}/${self.workload}`,
    port,
    source: context.peer.tls?.identity ?? 'unknown',
    route: '',
  });
  context.seriesByPort.set(port, made);
  return made;
}
