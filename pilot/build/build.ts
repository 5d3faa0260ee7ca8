/**
 * World → Snapshot of one sidecar, without I/O.
 *
 * A snapshot is made of shared parts that name no subscriber (routes, clusters, policies) and the sidecar's own.
 * A builder keeps what it built: the same part is the same object for all subscribers and over all worlds in
 * which nothing it was built from changed, so a part can be encoded once and compared by identity.
 */
import { MeshError } from '../../kit/errors.ts';
import {
  type AuthorizationPolicy,
  type Cluster,
  type EndpointSet,
  type ServiceRef,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
} from '../../mesh/model.ts';
import type { World } from '../world/world.ts';
import { type Catalog, catalogOf } from './catalog.ts';
import { clusterOf } from './cluster.ts';
import { createEndpointVersions, endpointSetsOf } from './endpoints.ts';
import { createMemo } from './memo.ts';
import { authorizationPolicy } from './policies.ts';
import { selfOf } from './self.ts';
import { hasConsumerRoutes, serviceRoutes } from './service-routes.ts';

/** Whose snapshot is built. */
export interface Subscriber {
  /** `NAMESPACE/NAME` of its Workload. */
  readonly workload: string;
  readonly node: string;
  /** Services beyond the declared calls that its application has called. */
  readonly resolved?: Iterable<ServiceRef>;
}

export interface Builder {
  /** Throws MeshError `not_found` where the workload does not exist. */
  build(world: World, subscriber: Subscriber): Snapshot;
  /** The endpoint sets of every port of a Service; none where it does not exist. */
  endpointSets(world: World, service: ServiceRef): readonly EndpointSet[];
}

export interface BuilderOptions {
  /** The version of an endpoint set seen for the first time; 1 by default. */
  readonly firstEndpointVersion?: number;
}

export function createBuilder(options: BuilderOptions = {}): Builder {
  const memo = createMemo();
  const versions = createEndpointVersions(options.firstEndpointVersion ?? 1);

  const routesFor = (catalog: Catalog, key: string, namespace: string): ServiceRoutes | undefined => {
    const isConsumer = memo.part(catalog, `consumer ${key} ${namespace}`, (reading) =>
      hasConsumerRoutes(reading, key, namespace),
    );
    const consumer = isConsumer ? namespace : undefined;
    return memo.part(catalog, `routes ${key} ${consumer ?? ''}`, (reading) =>
      serviceRoutes(reading, key, consumer),
    );
  };
  const clusterFor = (catalog: Catalog, name: string): Cluster | undefined =>
    memo.part(catalog, `cluster ${name}`, (reading) => {
      const { key, port } = clusterParts(name);
      const service = reading.get('Service', key);
      const own = service?.resource.spec.ports.find((each) => each.port === port);
      return service === undefined || own === undefined ? undefined : clusterOf(reading, service, own);
    });
  const policyFor = (catalog: Catalog, key: string): AuthorizationPolicy | undefined =>
    memo.part(catalog, `policy ${key}`, (reading) => {
      const stored = reading.get('AuthorizationPolicy', key);
      return stored === undefined ? undefined : authorizationPolicy(stored);
    });
  /** All sidecars of a World ask for the same sets. */
  const setsOfWorld = new WeakMap<World, Map<string, readonly EndpointSet[]>>();
  const setsFor = (world: World, key: string): readonly EndpointSet[] => {
    const known = setsOfWorld.get(world) ?? new Map<string, readonly EndpointSet[]>();
    setsOfWorld.set(world, known);
    let sets = known.get(key);
    if (sets === undefined) {
      const service = catalogOf(world).get('Service', key);
      sets = service === undefined ? [] : endpointSetsOf(world, catalogOf(world), service, versions);
      known.set(key, sets);
    }
    return sets;
  };
  const endpointsFor = (world: World, clusters: ReadonlyMap<string, Cluster>): Map<string, EndpointSet> => {
    const keys = new Set(Array.from(clusters.values(), (cluster) => serviceKey(cluster.service)));
    const sets = Array.from(keys).flatMap((key) => setsFor(world, key));
    return new Map(sets.filter((set) => clusters.has(set.cluster)).map((set) => [set.cluster, set]));
  };

  return {
    build(world, subscriber) {
      const catalog = catalogOf(world);
      if (catalog.get('Workload', subscriber.workload) === undefined)
        throw noSuchWorkload(subscriber.workload);
      const { workload: key, node, resolved = [] } = subscriber;
      const self = memo.part(catalog, `self ${key}@${node} ${world.trustDomain}`, (reading) => {
        const workload = reading.get('Workload', key);
        if (workload === undefined) throw noSuchWorkload(key);
        return selfOf(reading, workload, node, world.trustDomain);
      });
      const wanted = [...self.calls.map((call) => call.service), ...resolved].map(serviceKey);
      const services = present(wanted, (service) => routesFor(catalog, service, self.namespace));
      const clusters = present(clusterNames(services.values()), (name) => clusterFor(catalog, name));
      const policies = present(self.policies, (policy) => policyFor(catalog, policy));
      const endpoints = endpointsFor(world, clusters);
      return Object.freeze({ version: world.version, self, services, clusters, policies, endpoints });
    },

    endpointSets: (world, service) => setsFor(world, serviceKey(service)),
  };
}

function noSuchWorkload(key: string): MeshError {
  return new MeshError('not_found', `workload ${key} does not exist`, { origin: 'local' });
}

/** Every cluster that the routes lead to, each once. */
function clusterNames(services: Iterable<ServiceRoutes>): Set<string> {
  const names = new Set<string>();
  for (const { ports } of services) {
    for (const { target } of ports.flatMap((port) => port.rules).flatMap((rule) => rule.backends)) {
      if ('cluster' in target) names.add(target.cluster);
    }
  }
  return names;
}

/** The inverse of `clusterName`. */
function clusterParts(name: string): { readonly key: string; readonly port: number } {
  const colon = name.lastIndexOf(':');
  return { key: name.slice(0, colon), port: Number(name.slice(colon + 1)) };
}

function present<T>(names: Iterable<string>, find: (name: string) => T | undefined): Map<string, T> {
  const found = new Map<string, T>();
  for (const name of names) {
    const value = find(name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}
