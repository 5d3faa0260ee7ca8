// hot: `plan` runs once per request.
/** What callers ask of the application beside this sidecar: who may, and on which of its ports. */
import { MeshError } from '../../kit/errors.ts';
import type { AccessRequest } from '../../mesh/decide/authorize.ts';
import { parseIdentity } from '../../mesh/identity.ts';
import type { Peer } from '../net/conn.ts';
import { flag } from '../observe/flags.ts';
import { SeriesSet } from '../observe/series.ts';
import type { InboundRuntime } from '../runtime/runtime.ts';
import type { Exchange } from './exchange.ts';
import type { Planner, ProxyState } from './serve.ts';

export interface InboundOptions {
  /** The port behind a listener of its own; undefined on links, where each request names it. */
  readonly port: number | undefined;
  readonly unrouted: SeriesSet;
}

export class InboundPlanner implements Planner {
  readonly direction = 'inbound';
  readonly unrouted: SeriesSet;
  readonly #port: number | undefined;

  constructor(options: InboundOptions) {
    this.#port = options.port;
    this.unrouted = options.unrouted;
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
    else exchange.forward(inbound.forwarding);
  }
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
