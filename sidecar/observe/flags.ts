/**
 * Response flags: why a request ended as it did, as bits so that several can hold at once.
 * Access log, metrics and error bodies show the short names; people know most of them from Envoy.
 */
export const flag = {
  /** No route: nothing matches the request, or the host is unknown. */
  noRoute: 1 << 0,
  /** No cluster: the route's backend does not exist or may not be referred to. */
  noCluster: 1 << 1,
  /** No healthy upstream: the cluster has no endpoint to pick. */
  noHealthyUpstream: 1 << 2,
  /** Upstream connection failed. */
  upstreamFailed: 1 << 3,
  /** Upstream connection ended before the response did. */
  upstreamClosed: 1 << 4,
  /** Upstream reset the stream. */
  upstreamReset: 1 << 5,
  /** Upstream broke the protocol. */
  upstreamProtocol: 1 << 6,
  /** The request's or attempt's time was up. */
  timeout: 1 << 7,
  /** Nothing moved for the idle time. */
  idle: 1 << 8,
  /** A limit of ours refused it: connections, requests, queue. */
  overflow: 1 << 9,
  /** Downstream went away first. */
  downstreamClosed: 1 << 10,
  /** Downstream broke the protocol. */
  downstreamProtocol: 1 << 11,
  /** Authorization denied it. */
  denied: 1 << 12,
  /** The request was sent a second time. */
  retried: 1 << 13,
  /** The caller came without mTLS on a permissive port. */
  plaintext: 1 << 14,
  /** This sidecar is draining. */
  draining: 1 << 15,
  /** Our own fault. */
  internal: 1 << 16,
} as const;

const names: readonly (readonly [bit: number, name: string])[] = [
  [flag.noRoute, 'NR'],
  [flag.noCluster, 'NC'],
  [flag.noHealthyUpstream, 'UH'],
  [flag.upstreamFailed, 'UF'],
  [flag.upstreamClosed, 'UC'],
  [flag.upstreamReset, 'UR'],
  [flag.upstreamProtocol, 'UPE'],
  [flag.timeout, 'UT'],
  [flag.idle, 'SI'],
  [flag.overflow, 'UO'],
  [flag.downstreamClosed, 'DC'],
  [flag.downstreamProtocol, 'DPE'],
  [flag.denied, 'AD'],
  [flag.retried, 'RT'],
  [flag.plaintext, 'PT'],
  [flag.draining, 'DR'],
  [flag.internal, 'IE'],
];

/** The flags' names joined by commas, or `-` where there are none. */
export function flagNames(flags: number): string {
  if (flags === 0) return '-';
  const held: string[] = [];
  for (const [bit, name] of names) if ((flags & bit) !== 0) held.push(name);
  return held.join(',');
}
