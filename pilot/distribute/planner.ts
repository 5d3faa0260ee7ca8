/**
 * What each subscriber of one World is to be told. Parts are encoded once per value and shared by everybody;
 * what a sidecar's manifest is made of is kept as long as the resources stay the same, so that a change of
 * endpoints rebuilds nothing.
 */
import {
  type AuthorizationPolicy,
  type Cluster,
  type EndpointSet,
  isNewer,
  type Self,
  type ServiceRef,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
  type Version,
} from '../../mesh/model.ts';
import type { Placement } from '../../mesh/placement.ts';
import type { ResolveAnswer } from '../../proto/conversation.ts';
import { encodePart, featuresOf, manifestDigest, type Part, type PartValue } from '../../proto/part.ts';
import type { Builder } from '../build/build.ts';
import { isPlacedOn } from '../build/placement.ts';
import { resolve } from '../build/resolve.ts';
import type { World } from '../world/world.ts';
import { placementOf } from './placement.ts';

/** One World's answers. */
export interface Plan {
  readonly version: Version;
  /** Undefined where the workload does not exist or is not placed on that node. */
  configOf(subscriber: Subscriber): PlannedConfig | undefined;
  /** Undefined where the cluster does not exist any more. */
  endpointsOf(cluster: string): EndpointSet | undefined;
  placementOf(node: string): Placement;
  resolve(name: string, namespace: string): ResolveAnswer;
}

export interface Subscriber {
  readonly namespace: string;
  readonly workload: string;
  readonly node: string;
  readonly resolved: ReadonlyMap<string, ServiceRef>;
}

/** A manifest and everything it names, endpoint sets aside. */
export interface PlannedConfig {
  readonly parts: readonly Part[];
  readonly digest: string;
  /** Cluster names. */
  readonly clusters: readonly string[];
  /** Features that a sidecar needs to understand all parts. */
  readonly features: ReadonlySet<string>;
}

export interface Planner {
  planFor(world: World): Plan;
}

export function createPlanner(builder: Builder): Planner {
  const encoder = createPartEncoder();
  const configs = new WeakMap<World['resources'], Map<string, PlannedConfig>>();

  const configOf = (world: World, subscriber: Subscriber): PlannedConfig | undefined => {
    const { namespace, workload, node, resolved } = subscriber;
    if (!isPlacedOn(world, namespace, workload, node)) return undefined;
    let kept = configs.get(world.resources);
    if (kept === undefined) {
      kept = new Map();
      configs.set(world.resources, kept);
    }
    const key = `${namespace}/${workload}@${node} ${[...resolved.keys()].sort().join(' ')}`;
    let config = kept.get(key);
    if (config === undefined) {
      const snapshot = builder.build(world, {
        workload: `${namespace}/${workload}`,
        node,
        resolved: resolved.values(),
      });
      config = plannedConfig(snapshot, encoder);
      kept.set(key, config);
    }
    return config;
  };

  return {
    planFor(world) {
      const sets = new Map<string, EndpointSet | undefined>();
      return {
        version: world.version,
        configOf: (subscriber) => configOf(world, subscriber),
        endpointsOf(cluster) {
          if (!sets.has(cluster)) {
            sets.set(cluster, undefined);
            for (const set of builder.endpointSets(world, serviceOf(cluster))) sets.set(set.cluster, set);
          }
          return sets.get(cluster);
        },
        placementOf: (node) => placementOf(world, node),
        resolve(name, namespace) {
          const found = resolve(world, name, namespace);
          return found.service === undefined
            ? { kind: 'absent', suggestions: found.suggestions }
            : { kind: 'found', service: found.service };
        },
      };
    },
  };
}

/** Whether a sidecar that runs `held` would refuse `version` as older. */
export function isBehind(version: Version, held: Version | undefined): boolean {
  return held !== undefined && isNewer(held, version);
}

/** The service of a cluster named `NAMESPACE/NAME:PORT`. */
export function serviceOf(cluster: string): ServiceRef {
  const slash = cluster.indexOf('/');
  return { namespace: cluster.slice(0, slash), name: cluster.slice(slash + 1, cluster.lastIndexOf(':')) };
}

export function servicesByKey(services: readonly ServiceRef[]): Map<string, ServiceRef> {
  return new Map(services.map((service) => [serviceKey(service), service]));
}

interface EncodedPart {
  readonly part: Part;
  readonly features: ReadonlySet<string>;
}

type PartEncoder = (part: PartValue) => EncodedPart;

/** Remembers by identity of the value: the builder gives out the same object while nothing changed. */
function createPartEncoder(): PartEncoder {
  const encoded = new WeakMap<Self | ServiceRoutes | Cluster | AuthorizationPolicy, EncodedPart>();
  return (value) => {
    let entry = encoded.get(value.value);
    if (entry === undefined) {
      entry = { part: encodePart(value), features: featuresOf(value) };
      encoded.set(value.value, entry);
    }
    return entry;
  };
}

function plannedConfig(snapshot: Snapshot, encode: PartEncoder): PlannedConfig {
  const entries = [encode({ kind: 'self', value: snapshot.self })];
  for (const value of snapshot.services.values()) entries.push(encode({ kind: 'service', value }));
  for (const value of snapshot.clusters.values()) entries.push(encode({ kind: 'cluster', value }));
  for (const value of snapshot.policies.values()) entries.push(encode({ kind: 'policy', value }));
  const features = new Set<string>();
  for (const entry of entries) for (const feature of entry.features) features.add(feature);
  const parts = entries.map((entry) => entry.part);
  return { parts, digest: manifestDigest(parts), clusters: [...snapshot.clusters.keys()], features };
}
