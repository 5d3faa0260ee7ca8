/** Opaque TCP: from a localhost port to an endpoint of the service, and at the receiver on to the application. */
import { MeshError, messageOf } from '../../kit/errors.ts';
import { clusterName, type ServiceRef, serviceKey } from '../../mesh/model.ts';
import type { Host, LiveCluster } from '../cluster/live-cluster.ts';
import { openTunnel, type ReachServices } from '../cluster/reach.ts';
import type { ServerStreamConn } from '../codec/stream-conn.ts';
import type { Conn } from '../net/conn.ts';
import { SeriesSet } from '../observe/series.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whyRefused } from './inbound.ts';
import type { InboundTunnel, ProxyState } from './serve.ts';
import { Tunnel } from './tunnel.ts';

/** What tunnels need of their process. */
export interface TunnelServices {
  readonly proxy: ProxyState;
  readonly reach: ReachServices;
}

/** A connection of the application. */
export interface OutboundCall {
  readonly service: ServiceRef;
  readonly port: number;
  /** The name that its TLS asks for; undefined where it asks for none or is no TLS. */
  readonly serverName: string | undefined;
  /** All that came, where its FIN came too. */
  readonly whole?: Buffer | undefined;
}

/** Carries a local connection to where the route for its server name, or the service itself, says. */
export function tunnelOutbound(services: TunnelServices, downstream: Conn, call: OutboundCall): void {
  const { proxy } = services;
  const key = serviceKey(call.service);
  const way = wayOf(proxy, call);
  if (way === undefined) {
    const name = call.serverName === undefined ? '' : ` for '${call.serverName}'`;
    refuse(
      proxy,
      downstream,
      new MeshError('no_backend', `${key}:${call.port} has no backend${name}`, { origin: 'local' }),
    );
    return;
  }
  new Carrier({ ...services, downstream, ...way, direction: 'outbound', whole: call.whole }).begin();
}

interface Way {
  readonly cluster: LiveCluster;
  readonly route: string;
  readonly series: SeriesSet;
}

function wayOf(proxy: ProxyState, { service, port, serverName }: OutboundCall): Way | undefined {
  const { runtime } = proxy;
  const known = runtime.services.get(serviceKey(service))?.ports.get(port);
  // Routes of a port that is found out are for requests.
  if (known?.protocol === 'detect') return ownWay(proxy, runtime, service, port);
  const rule = known?.names.match(serverName);
  const forwarding = rule?.split.pick(proxy.random())?.forwarding;
  if (rule === undefined || forwarding === undefined) return undefined;
  return { cluster: forwarding.cluster, route: rule.route, series: rule.series };
}

function ownWay(
  { metrics }: ProxyState,
  runtime: Runtime,
  service: ServiceRef,
  port: number,
): Way | undefined {
  const cluster = runtime.clusters.get(clusterName(service, port));
  if (cluster === undefined) return undefined;
  const destination = serviceKey(service);
  const route = `Service ${destination}`;
  const source = runtime.snapshot.self.identity;
  const series = new SeriesSet(metrics, { direction: 'outbound', destination, port, source, route });
  return { cluster, route, series };
}

/** Carries a caller's connection to the application's `port`, if the caller may. */
export function tunnelInbound(services: TunnelServices, downstream: Conn, port: number): void {
  const { proxy } = services;
  const inbound = proxy.runtime.inbound.get(port);
  const { peer } = downstream;
  const refusal =
    inbound === undefined
      ? new MeshError('no_route', `this workload serves no port ${port}`, { origin: 'local' })
      : whyRefused(inbound, peer, undefined, undefined);
  if (inbound === undefined || refusal !== undefined) {
    refuse(proxy, downstream, refusal as MeshError, { port, from: peer.tls?.identity ?? peer.address });
    return;
  }
  const { self } = proxy.runtime.snapshot;
  const series = new SeriesSet(proxy.metrics, {
    direction: 'inbound',
    destination: `${self.namespace}/${self.workload}`,
    port,
    source: peer.tls?.identity ?? 'unknown',
    route: '',
  });
  const way = { cluster: inbound.app, route: '', series };
  new Carrier({ ...services, downstream, ...way, direction: 'inbound', inboundPort: port }).begin();
}

/** Carries a stream of a link to `port`, which must be one that takes connections so. */
export function tunnelShared(services: TunnelServices, conn: ServerStreamConn, port: number): void {
  const inbound = services.proxy.runtime.inbound.get(port);
  if (inbound !== undefined && !inbound.port.shared) {
    const message = `connections to port ${port} do not ride on a link`;
    refuse(services.proxy, conn, new MeshError('no_route', message, { origin: 'local' }), { port });
  } else tunnelInbound(services, conn, port);
}

/** Cuts a connection that goes nowhere. */
export function refuse(proxy: ProxyState, conn: Conn, error: MeshError, fields: object = {}): void {
  proxy.log.warn('connection refused', { ...fields, reason: error.message });
  proxy.metrics.refused++;
  conn.reset(error);
}

interface CarrierInit extends TunnelServices, Way {
  readonly downstream: Conn;
  readonly direction: 'inbound' | 'outbound';
  readonly whole?: Buffer | undefined;
  /** The port of this workload that is asked for. */
  readonly inboundPort?: number;
}

/** Finds an endpoint for one connection, another where the first cannot be reached, and holds its place in the limits. */
class Carrier {
  readonly #init: CarrierInit;
  #host: Host | undefined;

  constructor(init: CarrierInit) {
    this.#init = init;
  }

  begin(): void {
    const { proxy, downstream, cluster, route, series, direction, inboundPort, whole } = this.#init;
    const { name, limits, timeouts } = cluster.description;
    const host = cluster.active < limits.maxConnections ? cluster.pick() : undefined;
    if (host === undefined) {
      const message = `${name} has no ready endpoint, or all its connections are in use`;
      refuse(proxy, downstream, new MeshError('no_healthy_endpoint', message, { origin: 'local' }));
      return;
    }
    cluster.active++;
    let entry: InboundTunnel | undefined;
    const tunnel = new Tunnel({
      proxy,
      direction,
      downstream,
      cluster: name,
      route,
      whole,
      isMtls: downstream.peer.tls !== undefined || host.endpoint.transport !== 'plain',
      series,
      idleMs: timeouts.idleMs,
      onEnd: () => {
        cluster.active--;
        this.#leave();
        if (entry !== undefined) proxy.inboundTunnels.delete(entry);
      },
    });
    if (inboundPort !== undefined) {
      entry = { tunnel, peer: downstream.peer, port: inboundPort };
      proxy.inboundTunnels.add(entry);
    }
    this.#connect(tunnel, host);
  }

  #connect(tunnel: Tunnel, host: Host): void {
    const { cluster, reach, downstream } = this.#init;
    this.#host = host;
    host.active++;
    tunnel.attempt(host.endpoint.id);
    openTunnel(host, cluster.description, reach).then(
      (upstream) => {
        if ('accept' in downstream) (downstream as ServerStreamConn).accept();
        tunnel.join(upstream);
      },
      (cause: unknown) => this.#failed(tunnel, failureOf(cause)),
    );
  }

  #failed(tunnel: Tunnel, error: MeshError): void {
    const { cluster } = this.#init;
    const mayRetry = error.retry === 'always' && tunnel.attempts <= cluster.description.retry.attempts;
    const next = mayRetry && !tunnel.isClosed ? cluster.pick(this.#host) : undefined;
    if (next === undefined || next === this.#host) {
      tunnel.abort(error);
      return;
    }
    this.#leave();
    this.#connect(tunnel, next);
  }

  #leave(): void {
    if (this.#host !== undefined) this.#host.active--;
    this.#host = undefined;
  }
}

function failureOf(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  return new MeshError('connect_failed', messageOf(cause), { origin: 'upstream', cause });
}
