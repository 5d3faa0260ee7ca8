/**
 * Puts a sidecar's snapshot together from what arrives in any order: parts by hash, endpoint sets and deltas,
 * and the manifest that names them. A manifest takes force once all of it is here, endpoint sets of its
 * clusters included; until then, and after a problem, the last snapshot stays.
 */
import { ParseFailure, type Problem } from '../kit/parse.ts';
import {
  type AuthorizationPolicy,
  type Cluster,
  type EndpointSet,
  isNewer,
  type Self,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
  type Version,
} from '../mesh/model.ts';
import { applyDelta, type EndpointDelta } from './endpoints.ts';
import { decodePart, type Manifest, type Part, type PartValue } from './part.ts';

export type Assembled =
  /** Nothing to apply yet; `missing` says what the manifest waits for. */
  | { readonly kind: 'waiting'; readonly missing: Missing }
  /** The manifest of `push` is complete. */
  | { readonly kind: 'snapshot'; readonly push: number; readonly snapshot: Snapshot }
  /** The manifest of `push` cannot be used. */
  | {
      readonly kind: 'refused';
      readonly push: number;
      readonly version: Version;
      readonly problems: readonly Problem[];
    };

export interface Missing {
  /** Hashes. */
  readonly parts: readonly string[];
  /** Cluster names. */
  readonly endpoints: readonly string[];
}

export interface EndpointUpdate {
  readonly sets: readonly EndpointSet[];
  readonly deltas: readonly EndpointDelta[];
}

export interface EndpointsApplied {
  /** The running snapshot with the new sets, where any of its clusters changed: the fast lane. */
  readonly snapshot: Snapshot | undefined;
  /** The running snapshot's clusters whose sets changed. */
  readonly changed: readonly string[];
  /** Clusters whose base is missing here: ask for the whole set. */
  readonly wanted: readonly string[];
}

interface Held<T> {
  value: T;
  /** The manifest count when it came; what an older manifest left unnamed is dropped. */
  since: number;
}

const nothing: Missing = { parts: [], endpoints: [] };

export class Assembler {
  readonly #parts = new Map<string, Held<Part | PartValue>>();
  readonly #sets = new Map<string, Held<EndpointSet>>();
  #manifests = 0;
  #pending: { readonly push: number; readonly manifest: Manifest } | undefined;
  #ready: { readonly push: number; readonly manifest: Manifest; readonly snapshot: Snapshot } | undefined;
  #active: Snapshot | undefined;

  /** The snapshot that took force last. */
  get active(): Snapshot | undefined {
    return this.#active;
  }

  /** Keeps parts; follow with `assemble`. Their content is looked at only when a manifest names them. */
  addParts(parts: readonly Part[]): void {
    for (const part of parts) {
      if (!this.#parts.has(part.hash)) this.#parts.set(part.hash, { value: part, since: this.#manifests });
    }
  }

  /** Keeps endpoint sets and applies deltas; follow with `assemble` where a manifest waits. */
  addEndpoints(update: EndpointUpdate): EndpointsApplied {
    const changed: string[] = [];
    const wanted: string[] = [];
    for (const set of update.sets) this.#keepSet(set, changed);
    for (const delta of update.deltas) {
      const next = applyDelta(this.#sets.get(delta.cluster)?.value, delta);
      if (next === undefined) wanted.push(delta.cluster);
      else this.#keepSet(next, changed);
    }
    if (changed.length === 0 || this.#active === undefined) return { snapshot: undefined, changed, wanted };
    const endpoints = new Map(this.#active.endpoints);
    for (const cluster of changed) {
      const held = this.#sets.get(cluster);
      if (held !== undefined) endpoints.set(cluster, held.value);
    }
    this.#active = { ...this.#active, endpoints };
    return { snapshot: this.#active, changed, wanted };
  }

  /** Takes a manifest as the next to assemble; it replaces one that still waits. */
  offer(push: number, manifest: Manifest): void {
    this.#manifests += 1;
    this.#pending = { push, manifest };
  }

  /** Tries to complete the manifest that waits. */
  assemble(): Assembled {
    const pending = this.#pending;
    if (pending === undefined) return { kind: 'waiting', missing: nothing };
    const { push, manifest } = pending;
    const { version } = manifest;
    if (this.#active !== undefined && isNewer(this.#active.version, version)) {
      this.#pending = undefined;
      const message = `older than the version in force (${text(version)} after ${text(this.#active.version)})`;
      return { kind: 'refused', push, version, problems: [{ path: 'version', message }] };
    }
    const missing = this.#missing(manifest);
    if (missing.parts.length > 0 || missing.endpoints.length > 0) return { kind: 'waiting', missing };
    this.#pending = undefined;
    const problems: Problem[] = [];
    const snapshot = this.#build(manifest, problems);
    if (snapshot === undefined || problems.length > 0) return { kind: 'refused', push, version, problems };
    this.#ready = { push, manifest, snapshot };
    return { kind: 'snapshot', push, snapshot };
  }

  /**
   * Makes the snapshot that `assemble` returned for `push` the one in force, with the endpoint sets as they are
   * now, and drops what neither it nor a later manifest needs. A snapshot that does not compile is never
   * accepted, so the last one stays. Undefined where another manifest was completed meanwhile.
   */
  accept(push: number): Snapshot | undefined {
    if (this.#ready?.push !== push) return undefined;
    const { manifest, snapshot } = this.#ready;
    this.#ready = undefined;
    this.#active = { ...snapshot, endpoints: this.#endpointsOf(snapshot.clusters) };
    const named = new Set(manifest.parts.map((part) => part.hash));
    for (const part of this.#pending?.manifest.parts ?? []) named.add(part.hash);
    for (const [hash, held] of this.#parts) {
      if (!named.has(hash) && held.since < this.#manifests) this.#parts.delete(hash);
    }
    for (const [cluster, held] of this.#sets) {
      if (!snapshot.clusters.has(cluster) && held.since < this.#manifests) this.#sets.delete(cluster);
    }
    return this.#active;
  }

  #keepSet(set: EndpointSet, changed: string[]): void {
    this.#sets.set(set.cluster, { value: set, since: this.#manifests });
    if (this.#active?.clusters.has(set.cluster)) changed.push(set.cluster);
  }

  #missing(manifest: Manifest): Missing {
    const parts: string[] = [];
    const endpoints: string[] = [];
    for (const ref of manifest.parts) {
      if (!this.#parts.has(ref.hash)) parts.push(ref.hash);
      if (ref.kind === 'cluster' && !this.#sets.has(ref.name)) endpoints.push(ref.name);
    }
    return parts.length === 0 && endpoints.length === 0 ? nothing : { parts, endpoints };
  }

  #build(manifest: Manifest, problems: Problem[]): Snapshot | undefined {
    const own: Self[] = [];
    const services = new Map<string, ServiceRoutes>();
    const clusters = new Map<string, Cluster>();
    const policies = new Map<string, AuthorizationPolicy>();
    for (const ref of manifest.parts) {
      const part = this.#decoded(ref.hash, problems);
      if (part?.kind === 'self') own.push(part.value);
      else if (part?.kind === 'service') services.set(serviceKey(part.value.service), part.value);
      else if (part?.kind === 'cluster') clusters.set(part.value.name, part.value);
      else if (part?.kind === 'policy') policies.set(part.value.name, part.value);
    }
    if (problems.length > 0) return undefined;
    const [self] = own;
    if (self === undefined || own.length > 1) {
      problems.push({ path: 'self', message: `expected one own part, got ${own.length}` });
      return undefined;
    }
    problems.push(...missingPolicies(self, policies));
    const endpoints = this.#endpointsOf(clusters);
    return { version: manifest.version, self, services, clusters, policies, endpoints };
  }

  #decoded(hash: string, problems: Problem[]): PartValue | undefined {
    const held = this.#parts.get(hash);
    if (held === undefined) return undefined;
    if ('value' in held.value) return held.value;
    try {
      const value = decodePart(held.value);
      held.value = value;
      return value;
    } catch (error) {
      if (!(error instanceof ParseFailure)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  }

  #endpointsOf(clusters: ReadonlyMap<string, Cluster>): Map<string, EndpointSet> {
    const endpoints = new Map<string, EndpointSet>();
    for (const name of clusters.keys()) {
      const held = this.#sets.get(name);
      if (held !== undefined) endpoints.set(name, held.value);
    }
    return endpoints;
  }
}

/** A policy that binds this workload and is not here would admit what it denies. */
function missingPolicies(self: Self, policies: ReadonlyMap<string, AuthorizationPolicy>): Problem[] {
  return self.policies
    .filter((name) => !policies.has(name))
    .map((name) => ({ path: `policy[${name}]`, message: 'missing' }));
}

function text(version: Version): string {
  return `${version.epoch}.${version.revision}`;
}
