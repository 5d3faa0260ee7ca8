/**
 * How an endpoint is reached: a link (HTTP/2 over mTLS to the sidecar beside it), TLS of its own, or plaintext
 * (the application beside this sidecar, and services outside the mesh). Used once per connection.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Cluster, Endpoint } from '../../mesh/model.ts';
import type { ClientConnection, Codec, HttpVersion } from '../codec/codec.ts';
import type { FieldMemo } from '../codec/field-memo.ts';
import type { Conn } from '../net/conn.ts';
import { connectSocket, type DialOptions, type DialTarget, dial } from '../net/dial.ts';
import type { OwnSources } from '../net/own-sources.ts';
import { type ConnServices, SocketConn } from '../net/socket-conn.ts';
import { connectTls } from '../net/tls-connect.ts';
import type { TlsCredentials } from '../net/tls-credentials.ts';
import { opaqueProtocol, serverNameOf } from '../net/tls-names.ts';
import type { Host, PoolFactory } from './live-cluster.ts';
import { Pool } from './pool.ts';
import { dialShared } from './shared-dial.ts';

export interface ReachServices {
  readonly net: ConnServices;
  readonly clock: Clock;
  readonly memo: FieldMemo;
  /** By name, `http1` and `http2`. */
  readonly codecs: ReadonlyMap<string, Codec>;
  /** Those in force at the moment of dialling; undefined where this sidecar has no identity. */
  readonly credentials: () => TlsCredentials | undefined;
  /** Where connections are intercepted: told of each one made here, before it is connected. */
  readonly ownSources?: OwnSources | undefined;
}

/** Streams on one link at once before another is opened (design: 4,096 announced by the receiver). */
const requestsPerLink = 4096;
const requestsPerHttp2 = 100;
export const poolLimits = {
  /** Requests that may stand in line for a connection of one endpoint. */
  maxWaiting: 1024,
  /** Below the keep-alive time of common servers, so that a request seldom meets a connection they just closed. */
  appIdleMs: 4_000,
  linkIdleMs: 3_600_000,
};

export function createPoolFactory(services: ReachServices): PoolFactory {
  return (endpoint, cluster) => {
    const codec = codecFor(endpoint, cluster.description, services);
    const isLink = endpoint.transport === 'link';
    const { net, memo } = services;
    const perConnection = codec.name === 'http1' ? 1 : isLink ? requestsPerLink : requestsPerHttp2;
    return new Pool({
      connect: (owner, done) => {
        const { description } = cluster;
        const protocol = endpoint.transport === 'plain' ? undefined : codec.alpn;
        const options = {
          link: isLink,
          idleMs: isLink ? poolLimits.linkIdleMs : poolLimits.appIdleMs,
          beginMs: description.timeouts.connectMs,
          timers: net.timers,
          memo,
        };
        openConn(endpoint, description, protocol, services).then(
          (conn) => handOver(conn, () => codec.connect(conn, owner, options), done),
          (cause) => done(connectError(cause), undefined),
        );
      },
      requestsPerConnection: perConnection,
      get maxConnections() {
        return cluster.description.limits.maxConnections;
      },
      maxWaiting: poolLimits.maxWaiting,
      mayDial: () => net.descriptors?.mayDial ?? true,
    });
  };
}

/** A connection for bytes that are no requests. Rejects with a MeshError. */
export function openTunnel(host: Host, cluster: Cluster, services: ReachServices): Promise<Conn> {
  const { endpoint } = host;
  if (endpoint.shared && endpoint.transport === 'link') return dialShared(host, cluster, services.clock);
  return openConn(endpoint, cluster, endpoint.transport === 'plain' ? undefined : opaqueProtocol, services);
}

/** Tries the endpoint's addresses in turn; the last failure is the one that is told. */
async function openConn(
  endpoint: Endpoint,
  cluster: Cluster,
  protocol: string | undefined,
  services: ReachServices,
): Promise<Conn> {
  let failure: unknown = new MeshError('connect_failed', `${endpoint.id} has no address`, {
    origin: 'upstream',
    retry: 'always',
  });
  for (const address of endpoint.addresses) {
    const target = { address, port: endpoint.port };
    try {
      if (protocol === undefined) return await dial(target, services.net, dialOptionsOf(cluster, services));
      return await openTls(endpoint, cluster, target, protocol, services);
    } catch (thrown) {
      failure = thrown;
    }
  }
  throw failure;
}

function dialOptionsOf({ timeouts }: Cluster, { net, clock, ownSources }: ReachServices): DialOptions {
  const { descriptors } = net;
  const onSocket = ownSources === undefined ? undefined : (socket: Socket) => ownSources.add(socket);
  return { clock, timeoutMs: timeouts.connectMs, ...(descriptors && { descriptors }), onSocket };
}

async function openTls(
  endpoint: Endpoint,
  cluster: Cluster,
  target: DialTarget,
  protocol: string,
  services: ReachServices,
): Promise<Conn> {
  const { net, clock } = services;
  const current = services.credentials();
  if (current === undefined) {
    throw new MeshError('identity_refused', `no certificate yet to reach ${endpoint.id} with`, {
      origin: 'local',
    });
  }
  const dialOptions = dialOptionsOf(cluster, services);
  const raw = await connectSocket(target, dialOptions);
  return new Promise((resolve, reject) => {
    connectTls(raw, {
      credentials: current,
      serverName: serverNameOf(cluster.service, endpoint.targetPort),
      protocol,
      expected: endpoint.identity,
      clock,
      timeoutMs: dialOptions.timeoutMs,
      onSecure: (socket, tls) => {
        const peer = { address: target.address, port: target.port, tls };
        resolve(new SocketConn(socket, net, { origin: 'upstream', peer }));
      },
      onFailed: reject,
    });
  });
}

/** Links always speak HTTP/2; elsewhere the port's declared protocol decides. */
export function versionFor(endpoint: Endpoint, cluster: Cluster): HttpVersion {
  const isHttp2 =
    endpoint.transport === 'link' || cluster.protocol === 'http2' || cluster.protocol === 'grpc';
  return isHttp2 ? 'http2' : 'http1';
}

function codecFor(endpoint: Endpoint, cluster: Cluster, { codecs }: ReachServices): Codec {
  const codec = codecs.get(versionFor(endpoint, cluster));
  if (codec === undefined) throw new Error(`no codec for ${cluster.protocol}`);
  return codec;
}

/** A bug in whoever waits must not become an unhandled rejection: it ends this connection. */
function handOver(
  conn: Conn,
  begin: () => ClientConnection,
  done: (error: MeshError | undefined, connection: ClientConnection | undefined) => void,
): void {
  try {
    done(undefined, begin());
  } catch (cause) {
    conn.destroy(new MeshError('internal', messageOf(cause), { origin: 'local', cause }));
  }
}

function connectError(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  return new MeshError('connect_failed', messageOf(cause), { origin: 'upstream', retry: 'always', cause });
}
