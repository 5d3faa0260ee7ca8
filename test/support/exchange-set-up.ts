/** An Exchange between scripted codecs. */
import { MeshError } from '../../kit/errors.ts';
import { silentLog } from '../../kit/log.ts';
import { seededRandom } from '../../kit/random.ts';
import { LiveCluster } from '../../sidecar/cluster/live-cluster.ts';
import { Pool } from '../../sidecar/cluster/pool.ts';
import type { ClientConnectionOwner } from '../../sidecar/codec/codec.ts';
import { TimerWheel } from '../../sidecar/net/timer-wheel.ts';
import { Metrics } from '../../sidecar/observe/metrics.ts';
import type { Outcome } from '../../sidecar/observe/outcome.ts';
import { SeriesSet } from '../../sidecar/observe/series.ts';
import type { Exchange } from '../../sidecar/proxy/exchange.ts';
import { LiveList } from '../../sidecar/proxy/live-list.ts';
import { noPressure } from '../../sidecar/proxy/pressure.ts';
import { RequestIds } from '../../sidecar/proxy/request-ids.ts';
import { type ProxyState, ServeContext } from '../../sidecar/proxy/serve.ts';
import { DateStamp } from '../../sidecar/proxy/stamp.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeClientConnection, FakeServerStream, requestHead, type SentRequest } from './fake-codec.ts';
import { clusterOf, endpointOf } from './model.ts';

const service = { namespace: 'shop', name: 'orders' };

const endpoint = (name: string) =>
  endpointOf(name, {
    ...{ identity: 'spiffe://mesh/ns/shop/sa/orders', transport: 'link', port: 9000, targetPort: 8080 },
  });

/** A sidecar's outbound side in front of `endpoints` of one cluster; dials are answered at once, or by calling `dials`. */
export function setUpExchange(
  options: {
    endpoints?: string[];
    requestMs?: number;
    isLink?: boolean;
    dialsLater?: boolean;
    via?: boolean;
    retries?: number;
  } = {},
) {
  const clock = new FakeClock();
  const connections: { name: string; connection: FakeClientConnection; owner: ClientConnectionOwner }[] = [];
  const refuse = new Set<string>();
  const dials: (() => void)[] = [];
  const description = clusterOf(service, 80, {
    timeouts: { connectMs: 1_000, requestMs: 0, idleMs: 60_000, detectMs: 5_000 },
    retry: { attempts: options.retries ?? 1 },
    limits: { maxConnections: 10, maxRequests: 2 },
  });
  const cluster = new LiveCluster(description, {
    createPool: ({ id }) =>
      new Pool({
        connect: (owner, done) => {
          if (refuse.has(id)) {
            done(
              new MeshError('connect_refused', `${id} refused`, { origin: 'upstream', retry: 'always' }),
              undefined,
            );
            return;
          }
          const connection = new FakeClientConnection();
          const connected = () => {
            connections.push({ name: id, connection, owner });
            done(undefined, connection);
          };
          if (options.dialsLater) dials.push(connected);
          else connected();
        },
        requestsPerConnection: 1,
        maxConnections: 10,
        maxWaiting: 10,
      }),
    random: seededRandom(1),
    caller: 'test/web.0@local',
  });
  cluster.setEndpoints({
    cluster: description.name,
    version: 1,
    endpoints: (options.endpoints ?? ['a']).map(endpoint),
  });
  const outcomes: Outcome[] = [];
  const metrics = new Metrics();
  const unrouted = new SeriesSet(metrics, {
    direction: 'outbound',
    destination: '',
    port: 0,
    source: '',
    route: '',
  });
  const proxy = {
    runtime: { snapshot: { self: { via: options.via ?? false } } } as ProxyState['runtime'],
    clock,
    timers: new TimerWheel(clock),
    metrics,
    accessLog: {
      wants: () => true,
      write: (outcome: Outcome) => outcomes.push(outcome),
    } as unknown as ProxyState['accessLog'],
    requestIds: new RequestIds('test'),
    dates: new DateStamp(clock),
    random: seededRandom(2),
    live: new LiveList(),
    log: silentLog,
    tunnels: new Set(),
    inboundTunnels: new Set(),
    pressure: noPressure(),
  } satisfies ProxyState;
  const forwarding = {
    cluster,
    route: 'HTTPRoute shop/orders #0',
    filters: [],
    requestMs: options.requestMs,
    attemptMs: undefined,
  };
  const planner = {
    direction: 'outbound' as const,
    unrouted,
    plan: (exchange: Exchange) => exchange.forward(forwarding),
  };
  const peer = { address: '127.0.0.1', port: 5, tls: undefined };
  const context = new ServeContext({
    ...{ proxy, planner, protocol: 'http1', peer },
    ...{ isLink: options.isLink ?? false, connections: new Set<ServeContext>() },
  });
  const drains: ServeContext[] = [];
  context.connection = { drain: () => void drains.push(context), destroy: () => {} };
  const begin = (head = requestHead(), end = true) => {
    const stream = new FakeServerStream();
    return { stream, exchange: context.onRequest(stream, head, end) as Exchange };
  };
  const sent = (at = 0): SentRequest => connections[at]?.connection.requests[0] as SentRequest;
  return { clock, cluster, connections, refuse, outcomes, metrics, proxy, begin, sent, drains, dials };
}

export const upstreamError = (
  code: 'connection_reset' | 'connect_timeout' | 'stream_refused',
  retry: 'always' | 'if_idempotent' | 'elsewhere' | 'never',
) => new MeshError(code, 'the upstream broke', { origin: 'upstream', retry });
