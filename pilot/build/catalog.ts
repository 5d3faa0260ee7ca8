/**
 * The resources of a World, filed the way building asks for them. Made once for each set of resources:
 * worlds that differ in endpoints only share it.
 */
import type { ServiceRef } from '../../mesh/model.ts';
import type { AuthorizationPolicySpec } from '../../mesh/resource/authorization-policy.ts';
import type { GrpcRouteSpec } from '../../mesh/resource/grpc-route.ts';
import type { HttpRouteSpec } from '../../mesh/resource/http-route.ts';
import type { PeerAuthenticationSpec } from '../../mesh/resource/peer-authentication.ts';
import type { ReferenceGrantSpec } from '../../mesh/resource/reference-grant.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { ParentRef } from '../../mesh/resource/route-parts.ts';
import type { ServiceSpec } from '../../mesh/resource/service.ts';
import type { ServiceInstanceSpec } from '../../mesh/resource/service-instance.ts';
import type { TcpRouteSpec } from '../../mesh/resource/tcp-route.ts';
import type { TlsRouteSpec } from '../../mesh/resource/tls-route.ts';
import type { TrafficPolicySpec } from '../../mesh/resource/traffic-policy.ts';
import type { WorkloadSpec } from '../../mesh/resource/workload.ts';
import type { StoredResource, World } from '../world/world.ts';

/** What each kind's `spec` is. */
export interface Specs {
  Service: ServiceSpec;
  ServiceInstance: ServiceInstanceSpec;
  Workload: WorkloadSpec;
  HTTPRoute: HttpRouteSpec;
  GRPCRoute: GrpcRouteSpec;
  TCPRoute: TcpRouteSpec;
  TLSRoute: TlsRouteSpec;
  ReferenceGrant: ReferenceGrantSpec;
  AuthorizationPolicy: AuthorizationPolicySpec;
  PeerAuthentication: PeerAuthenticationSpec;
  TrafficPolicy: TrafficPolicySpec;
}

export type Kind = keyof Specs;
export type RouteKind = 'HTTPRoute' | 'GRPCRoute' | 'TCPRoute' | 'TLSRoute';

/** A stored resource whose `spec` is known. */
export interface Stored<K extends Kind> {
  readonly resource: Resource<Specs[K]>;
  readonly createdMs: number;
  /** `NAMESPACE/NAME`. */
  readonly key: string;
}

/** How building looks at resources. `memo.ts` records what was asked. */
export interface Catalog {
  /** One resource by `NAMESPACE/NAME`. */
  get<K extends Kind>(kind: K, key: string): Stored<K> | undefined;
  /** All of a kind that are filed under `key` by `filedUnder`, oldest first; the list of an unchanged set may be a new one. */
  list<K extends Kind>(kind: K, key: string): readonly Stored<K>[];
}

export interface WholeCatalog extends Catalog {
  /** All of a kind. */
  all<K extends Kind>(kind: K): readonly Stored<K>[];
}

const kinds: readonly Kind[] = [
  'Service',
  'ServiceInstance',
  'Workload',
  'HTTPRoute',
  'GRPCRoute',
  'TCPRoute',
  'TLSRoute',
  'ReferenceGrant',
  'AuthorizationPolicy',
  'PeerAuthentication',
  'TrafficPolicy',
];

const catalogs = new WeakMap<World['resources'], WholeCatalog>();

export function catalogOf(world: World): WholeCatalog {
  let catalog = catalogs.get(world.resources);
  if (catalog === undefined) {
    catalog = createCatalog(world.resources);
    catalogs.set(world.resources, catalog);
  }
  return catalog;
}

/** Entries are kept by stored resource, so that the same resource is the same entry in every catalog. */
const entries = new WeakMap<StoredResource, Stored<Kind>>();

function entryOf(key: string, stored: StoredResource): Stored<Kind> {
  let entry = entries.get(stored);
  if (entry === undefined) {
    entry = { resource: stored.resource as Resource<Specs[Kind]>, createdMs: stored.createdMs, key };
    entries.set(stored, entry);
  }
  return entry;
}

interface Shelf {
  readonly byKey: ReadonlyMap<string, Stored<Kind>>;
  readonly filed: ReadonlyMap<string, readonly Stored<Kind>[]>;
}

/** One kind's shelf is made anew only when a resource of that kind changed. */
const shelves = new WeakMap<ReadonlyMap<string, StoredResource>, Shelf>();

const none: readonly never[] = Object.freeze([]);

function createCatalog(resources: World['resources']): WholeCatalog {
  const byKind = new Map<Kind, Shelf>();
  for (const kind of kinds) {
    const stored = resources.get(kind);
    if (stored !== undefined) byKind.set(kind, shelfOf(kind, stored));
  }
  return {
    get: <K extends Kind>(kind: K, key: string) => byKind.get(kind)?.byKey.get(key) as Stored<K> | undefined,
    list: <K extends Kind>(kind: K, key: string) =>
      (byKind.get(kind)?.filed.get(key) ?? none) as readonly Stored<K>[],
    all: <K extends Kind>(kind: K) => [...(byKind.get(kind)?.byKey.values() ?? none)] as Stored<K>[],
  };
}

function shelfOf(kind: Kind, stored: ReadonlyMap<string, StoredResource>): Shelf {
  let shelf = shelves.get(stored);
  if (shelf === undefined) {
    const byKey = new Map(Array.from(stored, ([key, value]) => [key, entryOf(key, value)]));
    const filed = new Map<string, Stored<Kind>[]>();
    for (const entry of byKey.values()) {
      for (const under of new Set(filedUnder(kind, entry.resource))) {
        const list = filed.get(under);
        if (list === undefined) filed.set(under, [entry]);
        else list.push(entry);
      }
    }
    for (const list of filed.values()) list.sort(byAge);
    shelf = { byKey, filed };
    shelves.set(stored, shelf);
  }
  return shelf;
}

/** The Gateway API's last tie-breaks: oldest first, then by namespace and name. */
export function byAge(a: Stored<Kind>, b: Stored<Kind>): number {
  return a.createdMs - b.createdMs || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
}

/** Routes and policies are filed under their Services' keys, Workloads also under each label, the rest by namespace. */
function filedUnder(kind: Kind, resource: Resource<Specs[Kind]>): string[] {
  const { namespace, labels } = resource.metadata;
  switch (kind) {
    case 'HTTPRoute':
    case 'GRPCRoute':
    case 'TCPRoute':
    case 'TLSRoute':
      return (resource.spec as Specs[RouteKind]).parentRefs
        .filter(isServiceParent)
        .map((ref) => refKey(ref, namespace));
    case 'TrafficPolicy':
      return [refKey((resource.spec as TrafficPolicySpec).targetRef, namespace)];
    case 'ServiceInstance':
      return [`${namespace}/${(resource.spec as ServiceInstanceSpec).service}`];
    case 'Workload':
      return [namespace, ...Object.entries(labels).map(([name, value]) => labelKey(namespace, name, value))];
    default:
      return [namespace];
  }
}

/** Under which Workloads of a namespace with a label are filed. */
export function labelKey(namespace: string, name: string, value: string): string {
  return `${namespace} ${name}=${value}`;
}

const serviceGroups = new Set([undefined, '', 'core', 'heddle']);

export function isServiceParent(ref: ParentRef): boolean {
  return ref.kind === 'Service' && serviceGroups.has(ref.group);
}

/** The key of what a reference names, `namespace` being that of the resource that holds it. */
export function refKey(
  ref: { readonly namespace?: string; readonly name: string },
  namespace: string,
): string {
  return `${ref.namespace ?? namespace}/${ref.name}`;
}

export function refOf(key: string): ServiceRef {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
