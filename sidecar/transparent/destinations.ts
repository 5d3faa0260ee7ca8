/** Which service port an address stands for: connections that were taken from their way name nothing else. */
import {
  type AppProtocol,
  type Endpoint,
  type ServiceRef,
  type Snapshot,
  serviceKey,
} from '../../mesh/model.ts';
import type { DialTarget } from '../net/dial.ts';
import { canonicalAddress } from '../net/original-destination.ts';

export interface Destination {
  readonly service: ServiceRef;
  readonly port: number;
  readonly protocol: AppProtocol;
}

type Index = ReadonlyMap<string, Destination>;

/** Made for a snapshot when a connection first needs it, and gone with it. */
const indexes = new WeakMap<Snapshot, Index>();

/**
 * The service port among whose endpoints the address is: with the port that the workload serves, or the one where a
 * service outside the mesh is reached. Where several services have the endpoint, the first by name.
 */
export function findDestination(snapshot: Snapshot, to: DialTarget): Destination | undefined {
  let index = indexes.get(snapshot);
  if (index === undefined) {
    index = indexOf(snapshot);
    indexes.set(snapshot, index);
  }
  return index.get(keyOf(to.address, to.port));
}

function indexOf(snapshot: Snapshot): Index {
  const index = new Map<string, Destination>();
  for (const name of [...snapshot.clusters.keys()].sort()) {
    const destination = destinationOf(snapshot, name);
    if (destination === undefined) continue;
    for (const key of (snapshot.endpoints.get(name)?.endpoints ?? []).flatMap(keysOf)) {
      if (!index.has(key)) index.set(key, destination);
    }
  }
  return index;
}

/** Undefined for a cluster that only routes of other services lead to. */
function destinationOf({ clusters, services }: Snapshot, name: string): Destination | undefined {
  const cluster = clusters.get(name);
  if (cluster === undefined) return undefined;
  const { service, port } = cluster;
  const routes = services.get(serviceKey(service))?.ports.find((one) => one.port === port);
  return routes === undefined ? undefined : { service, port, protocol: routes.protocol };
}

/** At its own port a linked endpoint takes links, which no application makes. */
function keysOf({ transport, addresses, port, targetPort }: Endpoint): string[] {
  const ports = transport === 'link' ? [targetPort] : [targetPort, port];
  return addresses.flatMap((address) => ports.map((one) => keyOf(canonicalAddress(address), one)));
}

function keyOf(address: string, port: number): string {
  return `${address} ${port}`;
}
