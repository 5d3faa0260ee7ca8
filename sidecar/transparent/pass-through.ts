/** Connections that the mesh has no part in: carried to where they were going, byte by byte. */
import { MeshError, messageOf } from '../../kit/errors.ts';
import { defaultLimits, defaultRetry, defaultTimeouts } from '../../mesh/defaults.ts';
import type { AppProtocol } from '../../mesh/model.ts';
import { LiveCluster } from '../cluster/live-cluster.ts';
import { createPoolFactory, type ReachServices } from '../cluster/reach.ts';
import type { Conn } from '../net/conn.ts';
import { type DialTarget, dial } from '../net/dial.ts';
import { SeriesSet } from '../observe/series.ts';
import type { ProxyState } from '../proxy/serve.ts';
import { Tunnel } from '../proxy/tunnel.ts';
import type { Forwarding } from '../runtime/runtime.ts';

/** As the cluster's name in access log and metrics. */
const passThroughName = 'passthrough';
/** Carried at once; beyond, connections are refused. */
const maxTunnels = 16_384;

export class PassThrough {
  readonly #proxy: ProxyState;
  readonly #reach: ReachServices;
  #active = 0;
  readonly #series: Readonly<Record<'inbound' | 'outbound', SeriesSet>>;

  constructor(proxy: ProxyState, reach: ReachServices) {
    this.#proxy = proxy;
    this.#reach = reach;
    // One series for all of them: addresses and ports are as many as there are in the world.
    const labels = { destination: passThroughName, port: 0, source: 'unknown', route: '' };
    this.#series = {
      inbound: new SeriesSet(proxy.metrics, { direction: 'inbound', ...labels }),
      outbound: new SeriesSet(proxy.metrics, { direction: 'outbound', ...labels }),
    };
  }

  get active(): number {
    return this.#active;
  }

  /** Joins the connection with one to `to`. */
  carry(downstream: Conn, to: DialTarget, direction: 'inbound' | 'outbound'): void {
    if (this.#active >= maxTunnels) {
      const message = `${maxTunnels} connections are passed through already`;
      this.#proxy.log.warn('connection refused', { reason: message });
      downstream.destroy(new MeshError('limit_exceeded', message, { origin: 'local' }));
      return;
    }
    const { connectMs, idleMs } = defaultTimeouts('tcp');
    const tunnel = new Tunnel({
      proxy: this.#proxy,
      direction,
      downstream,
      cluster: passThroughName,
      route: '',
      isMtls: false,
      series: this.#series[direction],
      idleMs,
      onEnd: () => this.#active--,
    });
    tunnel.attempt(to.address.includes(':') ? `[${to.address}]:${to.port}` : `${to.address}:${to.port}`);
    this.#active++;
    const { net, clock, ownSources } = this.#reach;
    dial(to, net, { clock, timeoutMs: connectMs, onSocket: (socket) => ownSources?.add(socket) }).then(
      (upstream) => tunnel.join(upstream),
      (cause: unknown) => tunnel.abort(failure(cause)),
    );
  }
}

/**
 * For a request that no service takes, on a connection whose requests are served one by one: on to where the
 * connection was going. It is let go of with the connection; what it has open then ends by its idle time.
 */
export function forwardingTo(
  to: DialTarget,
  protocol: AppProtocol,
  proxy: ProxyState,
  reach: ReachServices,
): Forwarding {
  const cluster = new LiveCluster(
    {
      name: passThroughName,
      service: { namespace: '', name: passThroughName },
      port: to.port,
      protocol,
      balance: 'round_robin',
      timeouts: defaultTimeouts(protocol),
      retry: defaultRetry,
      limits: defaultLimits,
    },
    { createPool: createPoolFactory(reach), random: proxy.random, caller: '' },
  );
  cluster.setEndpoints({
    cluster: passThroughName,
    version: 0,
    endpoints: [
      {
        id: passThroughName,
        identity: '',
        transport: 'plain',
        shared: false,
        addresses: [to.address],
        port: to.port,
        targetPort: to.port,
        network: '',
        locality: { region: '', zone: '' },
        weight: 1,
        state: 'ready',
        features: [],
      },
    ],
  });
  return { cluster, route: '', filters: [], requestMs: undefined, attemptMs: undefined };
}

function failure(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  return new MeshError('connect_failed', messageOf(cause), { origin: 'upstream', cause });
}
