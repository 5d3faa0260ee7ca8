/**
 * A Snapshot compiled for the path: names resolved, routes indexed, clusters live. A Runtime is never changed,
 * it is replaced by one assignment; an exchange keeps the one it began with.
 */
import type { Authorization } from '../../mesh/decide/authorize.ts';
import type { HostTable } from '../../mesh/decide/hosts.ts';
import type { RouteTable } from '../../mesh/decide/routes.ts';
import type { ServerNameTable } from '../../mesh/decide/server-names.ts';
import type { Split } from '../../mesh/decide/split.ts';
import type { AppProtocol, InboundPort, RouteRule, ServiceRef, Snapshot } from '../../mesh/model.ts';
import type { LiveCluster } from '../cluster/live-cluster.ts';
import type { Filter } from '../filter/filter.ts';
import type { SeriesSet } from '../observe/series.ts';

export interface Runtime {
  readonly snapshot: Snapshot;
  readonly hosts: HostTable;
  /** By `serviceKey`. */
  readonly services: ReadonlyMap<string, ServiceRuntime>;
  /** By cluster name. */
  readonly clusters: ReadonlyMap<string, LiveCluster>;
  /** By the port that the mesh knows. */
  readonly inbound: ReadonlyMap<number, InboundRuntime>;
}

export interface ServiceRuntime {
  readonly ports: ReadonlyMap<number, PortRuntime>;
}

export interface PortRuntime {
  readonly service: ServiceRef;
  readonly port: number;
  readonly protocol: AppProtocol;
  readonly routes: RouteTable<RuleRuntime>;
  /** The rules of opaque connections. */
  readonly names: ServerNameTable<RuleRuntime>;
}

export interface RuleRuntime extends RouteRule {
  readonly configured: readonly Filter[];
  readonly split: Split<BackendRuntime>;
  readonly series: SeriesSet;
}

export interface BackendRuntime {
  readonly weight: number;
  /** Undefined where the reference is broken; `problem` says how. */
  readonly forwarding: Forwarding | undefined;
  readonly problem: string;
  readonly ownFilters: readonly Filter[];
}

/** Where a request goes and what it meets on the way; made once per backend. */
export interface Forwarding {
  readonly cluster: LiveCluster;
  readonly route: string;
  /** The rule's filters and then the backend's own, which a response meets in reverse. */
  readonly filters: readonly Filter[];
  /** Undefined leaves it to the cluster, 0 is none. */
  readonly requestMs: number | undefined;
  /** One attempt; undefined and 0 are none. */
  readonly attemptMs: number | undefined;
}

export interface InboundRuntime {
  readonly port: InboundPort;
  readonly authorization: Authorization;
  /** The application itself, as a cluster of one. */
  readonly app: LiveCluster;
  readonly forwarding: Forwarding;
  /** The same in HTTP/2, on a port whose protocol is found out. */
  readonly http2: Forwarding | undefined;
}

/** The service port that an authority names, as far as it is known. */
export function findPort(runtime: Runtime, authority: string): PortRuntime | undefined {
  const target = runtime.hosts.find(authority);
  return target === undefined ? undefined : runtime.services.get(target.key)?.ports.get(target.port);
}
