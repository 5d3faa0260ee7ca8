/** Opaque TCP: from a localhost port to an endpoint of the service, and at the receiver on to the application. */
import { MeshError, messageOf } from '../../kit/errors.ts';
import { type ServiceRef, serviceKey } from '../../mesh/model.ts';
import type { Host, LiveCluster } from '../cluster/live-cluster.ts';
import { openTunnel, type ReachServices } from '../cluster/reach.ts';
import type { Conn } from '../net/conn.ts';
import { SeriesSet } from '../observe/series.ts';
import { whyRefused } from './inbound.ts';
import type { InboundTunnel, ProxyState } from './serve.ts';
import { Tunnel } from './tunnel.ts';

/** TCPRoutes match every connection. */
const anyConnection = { method: '', path: '', header: () => undefined };

/** Carries a local connection to where the service's TCPRoute, or the service itself, says. */
export function tunnelOutbound(
  proxy: ProxyState,
  reach: ReachServices,
  downstream: Conn,
  call: { readonly service: ServiceRef; readonly port: number },
): void {
  const key = serviceKey(call.service);
  const rule = proxy.runtime.services.get(key)?.ports.get(call.port)?.routes.match(anyConnection);
  const forwarding = rule?.split.pick(proxy.random())?.forwarding;
  if (rule === undefined || forwarding === undefined) {
    proxy.log.warn('connection refused: no backend', { service: key, port: call.port });
    downstream.destroy(
      new MeshError('no_backend', `${key}:${call.port} has no backend`, { origin: 'local' }),
    );
    return;
  }
  run({ proxy, reach, downstream, cluster: forwarding.cluster, route: rule.route, series: rule.series });
}

/** Carries a caller's connection to the application's `port`, if the caller may. */
export function tunnelInbound(proxy: ProxyState, reach: ReachServices, downstream: Conn, port: number): void {
  const inbound = proxy.runtime.inbound.get(port);
  const { peer } = downstream;
  const refusal =
    inbound === undefined
      ? new MeshError('no_route', `this workload serves no port ${port}`, { origin: 'local' })
      : whyRefused(inbound, peer, undefined, undefined);
  if (inbound === undefined || refusal !== undefined) {
    proxy.log.warn('connection refused', {
      port,
      from: peer.tls?.identity ?? peer.address,
      reason: refusal?.message,
    });
    downstream.destroy(refusal);
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
  run({ proxy, reach, downstream, cluster: inbound.app, route: '', series, inboundPort: port });
}

interface Run {
  readonly proxy: ProxyState;
  readonly reach: ReachServices;
  readonly downstream: Conn;
  readonly cluster: LiveCluster;
  readonly route: string;
  readonly series: SeriesSet;
  readonly inboundPort?: number;
}

function run({ proxy, reach, downstream, cluster, route, series, inboundPort }: Run): void {
  const { description } = cluster;
  const host = cluster.active < description.limits.maxConnections ? cluster.pick() : undefined;
  if (host === undefined) {
    const message = `${description.name} has no ready endpoint, or all its connections are in use`;
    proxy.log.warn('connection refused', { reason: message });
    downstream.destroy(new MeshError('no_healthy_endpoint', message, { origin: 'local' }));
    return;
  }
  hold(cluster, host);
  let entry: InboundTunnel | undefined;
  const tunnel = new Tunnel({
    proxy,
    direction: inboundPort === undefined ? 'outbound' : 'inbound',
    downstream,
    cluster: description.name,
    route,
    endpoint: host.endpoint.id,
    isMtls: downstream.peer.tls !== undefined || host.endpoint.transport !== 'plain',
    series,
    idleMs: description.timeouts.idleMs,
    onEnd: () => {
      release(cluster, host);
      if (entry !== undefined) proxy.inboundTunnels.delete(entry);
    },
  });
  if (inboundPort !== undefined) {
    entry = { tunnel, peer: downstream.peer, port: inboundPort };
    proxy.inboundTunnels.add(entry);
  }
  openTunnel(host.endpoint, description, reach).then(
    (upstream) => tunnel.join(upstream),
    (cause: unknown) => tunnel.abort(failure(cause)),
  );
}

function hold(cluster: LiveCluster, host: Host): void {
  cluster.active++;
  host.active++;
}

function release(cluster: LiveCluster, host: Host): void {
  cluster.active--;
  host.active--;
}

function failure(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  return new MeshError('connect_failed', messageOf(cause), { origin: 'upstream', cause });
}
