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
import type { WorkloadPort } from '../../mesh/resource/workload.ts';
import type { InstanceRecord, World } from '../world/world.ts';
import { type Catalog, refOf, type Stored } from './catalog.ts';
import { createInstanceIndex, type InstanceIndex } from './instance-index.ts';
import { targetOf, workloadsOf } from './selection.ts';
import { accountOf } from './self.ts';

const nowhere: Locality = { region: '', zone: '' };

/** The endpoints of one Service port, in the order of their ids. */
function endpointsOf(
  world: World,
  catalog: Catalog,
  service: Stored<'Service'>,
  port: ServicePort,
  instances: InstanceIndex,
): Endpoint[] {
  const running = workloadsOf(catalog, service).flatMap((workload) => {
    const target = targetOf(port, workload);
    if (target === undefined) return [];
    const identity = workloadName(
      world.trustDomain,
      workload.resource.metadata.namespace,
      accountOf(workload),
    );
    return instances
      .of(world, workload.key)
      .flatMap((instance) => endpointOf(world, instance, identity, target));
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
  { port: targetPort, shared }: WorkloadPort,
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
      shared,
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
    shared: false,
  };
}

/** Services whose sets are kept at most. */
const maxServices = 100_000;

export interface EndpointSets {
  /**
   * The sets of every port of a Service. A set is the same object while its endpoints are the same, else it has
   * a higher version.
   */
  of(world: World, catalog: Catalog, service: Stored<'Service'>): readonly EndpointSet[];
}

interface Kept {
  /** Everything that the sets were made from. */
  readonly inputs: readonly unknown[];
  readonly sets: readonly EndpointSet[];
}

/** All sets count their versions on one line that begins at `first`; a restarted pilot begins above its earlier life. */
export function createEndpointSets(first: number): EndpointSets {
  const instances = createInstanceIndex();
  const kept = new Map<string, Kept>();
  let next = first;
  return {
    of(world, catalog, service) {
      const last = kept.get(service.key);
      const inputs = inputsOf(world, catalog, service, instances);
      if (last !== undefined && isSame(last.inputs, inputs)) return last.sets;
      const sets = service.resource.spec.ports.map((port): EndpointSet => {
        const cluster = clusterName(refOf(service.key), port.port);
        const endpoints = endpointsOf(world, catalog, service, port, instances);
        const old = last?.sets.find((set) => set.cluster === cluster);
        if (old !== undefined && isDeepStrictEqual(old.endpoints, endpoints)) return old;
        return Object.freeze({ cluster, version: next++, endpoints });
      });
      if (last === undefined && kept.size >= maxServices) dropOldest(kept);
      kept.set(service.key, { inputs, sets });
      return sets;
    },
  };
}

function inputsOf(
  world: World,
  catalog: Catalog,
  service: Stored<'Service'>,
  instances: InstanceIndex,
): unknown[] {
  const inputs: unknown[] = [world.trustDomain, service, ...catalog.list('ServiceInstance', service.key)];
  for (const workload of workloadsOf(catalog, service)) {
    const running = instances.of(world, workload.key);
    inputs.push(workload, running);
    for (const { node } of running) inputs.push(world.nodes.get(node));
  }
  return inputs;
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index]);
}

function dropOldest(kept: Map<string, Kept>): void {
  for (const key of kept.keys()) {
    kept.delete(key);
    return;
  }
}
