/** Who stands behind a Service port now: running instances of its workloads, and ServiceInstance resources. */
import { isDeepStrictEqual } from 'node:util';
import { workloadName } from '../../mesh/identity.ts';
import {
  clusterName,
  type Endpoint,
  type EndpointSet,
  type EndpointState,
  type Locality,
} from '../../mesh/model.ts';
import type { ServicePort } from '../../mesh/resource/service.ts';
import type { InstanceRecord, World } from '../world/world.ts';
import { type Catalog, refOf, type Stored } from './catalog.ts';
import { targetOf, workloadsOf } from './selection.ts';
import { accountOf } from './self.ts';

const nowhere: Locality = { region: '', zone: '' };

/** The endpoints of one Service port, in the order of their ids. */
export function endpointsOf(
  world: World,
  catalog: Catalog,
  service: Stored<'Service'>,
  port: ServicePort,
): Endpoint[] {
  const running = workloadsOf(catalog, service).flatMap((workload) => {
    const target = targetOf(port, workload);
    if (target === undefined) return [];
    const identity = workloadName(
      world.trustDomain,
      workload.resource.metadata.namespace,
      accountOf(workload),
    );
    return instancesOf(world, workload.key).flatMap((instance) =>
      endpointOf(world, instance, identity, target.port),
    );
  });
  const fixed = catalog
    .list('ServiceInstance', service.key)
    .map((instance) => fixedEndpoint(instance, service, port));
  return [...running, ...fixed].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** An instance whose sidecar has no link port yet, or whose addresses are not known, cannot be reached. */
function endpointOf(
  world: World,
  instance: InstanceRecord,
  identity: string,
  targetPort: number,
): Endpoint[] {
  if (instance.linkPort === 0 || instance.addresses.length === 0) return [];
  const node = world.nodes.get(instance.node);
  return [
    {
      id: instance.id,
      identity,
      transport: 'link',
      addresses: instance.addresses,
      port: instance.linkPort,
      targetPort,
      network: node?.network ?? '',
      locality: node?.locality ?? nowhere,
      weight: 1,
      state: stateOf(instance.state, node?.alive === true),
      features: instance.features,
    },
  ];
}

/** What a silent node last said of a ready instance may not be so any more; of the others it does not matter. */
function stateOf(state: EndpointState, isAlive: boolean): EndpointState {
  return state === 'ready' && !isAlive ? 'unknown' : state;
}

function fixedEndpoint(
  instance: Stored<'ServiceInstance'>,
  service: Stored<'Service'>,
  port: ServicePort,
): Endpoint {
  const { spec } = instance.resource;
  const own = spec.ports.find((each) => each.port === port.port)?.targetPort;
  const targetPort = own ?? (typeof port.targetPort === 'number' ? port.targetPort : port.port);
  return {
    id: `${service.resource.metadata.namespace}/${instance.resource.metadata.name}`,
    identity: spec.transport === 'plain' ? '' : (spec.identity ?? ''),
    transport: spec.transport,
    addresses: spec.addresses,
    port: spec.linkPort ?? targetPort,
    targetPort,
    network: spec.network ?? '',
    locality: { region: spec.locality.region ?? '', zone: spec.locality.zone ?? '' },
    weight: spec.weight,
    state: spec.state,
    features: [],
  };
}

const byWorkload = new WeakMap<World['instances'], ReadonlyMap<string, readonly InstanceRecord[]>>();

/** The instances of one workload (`NAMESPACE/NAME`). */
function instancesOf(world: World, workload: string): readonly InstanceRecord[] {
  let index = byWorkload.get(world.instances);
  if (index === undefined) {
    const filed = new Map<string, InstanceRecord[]>();
    for (const instance of world.instances.values()) {
      const key = `${instance.namespace}/${instance.workload}`;
      const list = filed.get(key);
      if (list === undefined) filed.set(key, [instance]);
      else list.push(instance);
    }
    index = filed;
    byWorkload.set(world.instances, index);
  }
  return index.get(workload) ?? [];
}

/** Sets kept at most, each with the version it has reached. */
const maxSets = 100_000;

export interface EndpointVersions {
  /** The set of a cluster: the same object while its endpoints are, with a higher version when they are not. */
  set(cluster: string, endpoints: readonly Endpoint[]): EndpointSet;
}

/** All sets count on one line that begins at `first`; a restarted pilot begins above its earlier life. */
export function createEndpointVersions(first: number): EndpointVersions {
  const sets = new Map<string, EndpointSet>();
  let next = first;
  return {
    set(cluster, endpoints) {
      const last = sets.get(cluster);
      if (last !== undefined && isDeepStrictEqual(last.endpoints, endpoints)) return last;
      if (last === undefined && sets.size >= maxSets) dropOldest(sets);
      const set: EndpointSet = Object.freeze({ cluster, version: next++, endpoints });
      sets.set(cluster, set);
      return set;
    },
  };
}

function dropOldest(sets: Map<string, EndpointSet>): void {
  for (const cluster of sets.keys()) {
    sets.delete(cluster);
    return;
  }
}

export function endpointSetsOf(
  world: World,
  catalog: Catalog,
  service: Stored<'Service'>,
  versions: EndpointVersions,
): EndpointSet[] {
  return service.resource.spec.ports.map((port) =>
    versions.set(clusterName(refOf(service.key), port.port), endpointsOf(world, catalog, service, port)),
  );
}
