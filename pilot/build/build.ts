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
  clusterName,
  type EndpointSet,
  type Self,
  type ServiceRef,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
} from '../../mesh/model.ts';
import type { World } from '../world/world.ts';
import { type Catalog, catalogOf } from './catalog.ts';
import { clusterOf } from './cluster.ts';
import { createEndpointSets } from './endpoints.ts';
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

/** A snapshot without its endpoints; while resources stay the same, so does this. */
interface Outline {
  readonly catalog: Catalog;
  readonly trustDomain: string;
  readonly resolved: string;
  readonly self: Self;
  readonly services: ReadonlyMap<string, ServiceRoutes>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly policies: ReadonlyMap<string, AuthorizationPolicy>;
}

/** Outlines kept at most, one for each sidecar of an own node or workload. */
const maxOutlines = 50_000;

export function createBuilder(options: BuilderOptions = {}): Builder {
  const memo = createMemo();
  const outlines = new Map<string, Outline>();
  const endpointSets = createEndpointSets(options.firstEndpointVersion ?? 1);

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
  const setsFor = (world: World, key: string): readonly EndpointSet[] => {
    const service = catalogOf(world).get('Service', key);
    return service === undefined ? [] : endpointSets.of(world, catalogOf(world), service);
  };
  const endpointsFor = (world: World, clusters: ReadonlyMap<string, Cluster>): Map<string, EndpointSet> => {
    const sets = new Map<string, EndpointSet>();
    for (const [name, { service }] of clusters) {
      const set = setsFor(world, serviceKey(service)).find((each) => each.cluster === name);
      if (set !== undefined) sets.set(name, set);
    }
    return sets;
  };

  const outlineFor = (world: World, { workload, node, resolved = [] }: Subscriber): Outline => {
    const catalog = catalogOf(world);
    const known = outlines.get(`${workload}@${node}`);
    const extra = Array.from(resolved, serviceKey);
    const isCurrent = known?.catalog === catalog && known.trustDomain === world.trustDomain;
    if (known !== undefined && isCurrent && known.resolved === extra.join()) return known;
    const self = memo.part(catalog, `self ${workload}@${node} ${world.trustDomain}`, (reading) => {
      const stored = reading.get('Workload', workload);
      return stored === undefined ? undefined : selfOf(reading, stored, node, world.trustDomain);
    });
    if (self === undefined) {
      throw new MeshError('not_found', `workload ${workload} does not exist`, { origin: 'local' });
    }
    const wanted = [...self.calls.map((call) => serviceKey(call.service)), ...extra];
    const services = present(wanted, (service) => routesFor(catalog, service, self.namespace));
    const clusters = present(clusterNames(services.values()), (name) => clusterFor(catalog, name));
    const policies = present(self.policies, (policy) => policyFor(catalog, policy));
    const { trustDomain } = world;
    const outline = { catalog, trustDomain, resolved: extra.join(), self, services, clusters, policies };
    if (known === undefined && outlines.size >= maxOutlines) outlines.clear();
    outlines.set(`${workload}@${node}`, outline);
    return outline;
  };

  return {
    build(world, subscriber) {
      const { self, services, clusters, policies } = outlineFor(world, subscriber);
      const endpoints = endpointsFor(world, clusters);
      return Object.freeze({ version: world.version, self, services, clusters, policies, endpoints });
    },

    endpointSets: (world, service) => setsFor(world, serviceKey(service)),
  };
}

/** Every cluster that the routes lead to, each once; what is no HTTP on a `detect` port goes past its routes. */
function clusterNames(services: Iterable<ServiceRoutes>): Set<string> {
  const names = new Set<string>();
  for (const { service, ports } of services) {
    for (const { port, protocol } of ports) {
      if (protocol === 'detect') names.add(clusterName(service, port));
    }
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
