/**
 * The parts and endpoint sets that the sidecars of this node use, each held once however many use it. What a
 * manifest names and is not here is asked for.
 */
import type { EndpointSet } from '../../mesh/model.ts';
import type { EndpointUpdate } from '../../proto/assembler.ts';
import type { HeldEndpoints } from '../../proto/config-wire.ts';
import { applyDelta, type EndpointDelta, endpointsHash } from '../../proto/endpoints.ts';
import { contentHash, type Manifest, type Part } from '../../proto/part.ts';

/** What changed one cluster's set: the set as it is now, and the delta that led to it where there was one. */
export interface SetChange {
  readonly set: EndpointSet;
  readonly delta: EndpointDelta | undefined;
}

export interface Missing {
  /** Hashes. */
  readonly parts: readonly string[];
  /** Cluster names. */
  readonly endpoints: readonly string[];
}

export class NodeCache {
  readonly #parts = new Map<string, Part>();
  readonly #sets = new Map<string, EndpointSet>();

  /** Keeps parts whose content is what their hash says; answers the others. */
  addParts(parts: readonly Part[]): readonly Part[] {
    const wrong: Part[] = [];
    for (const part of parts) {
      if (this.#parts.has(part.hash)) continue;
      if (contentHash(part.content) === part.hash) this.#parts.set(part.hash, part);
      else wrong.push(part);
    }
    return wrong;
  }

  /** Applies an update; `wanted` are clusters whose delta has a base that is not here. */
  update(update: EndpointUpdate): {
    readonly changes: readonly SetChange[];
    readonly wanted: readonly string[];
  } {
    const changes: SetChange[] = [];
    const wanted: string[] = [];
    for (const set of update.sets) changes.push({ set, delta: undefined });
    for (const delta of update.deltas) {
      const set = applyDelta(this.#sets.get(delta.cluster), delta);
      if (set === undefined) wanted.push(delta.cluster);
      else changes.push({ set, delta });
    }
    for (const { set } of changes) this.#sets.set(set.cluster, set);
    return { changes, wanted };
  }

  set(cluster: string): EndpointSet | undefined {
    return this.#sets.get(cluster);
  }

  /** The manifest's parts that are here. */
  partsOf(manifest: Manifest): Part[] {
    return manifest.parts.flatMap(({ hash }) => this.#parts.get(hash) ?? []);
  }

  /** The sets of the manifest's clusters that are here. */
  setsOf(manifest: Manifest): EndpointSet[] {
    return clustersOf(manifest).flatMap((cluster) => this.#sets.get(cluster) ?? []);
  }

  missing(manifest: Manifest): Missing {
    return {
      parts: manifest.parts.filter(({ hash }) => !this.#parts.has(hash)).map(({ hash }) => hash),
      endpoints: clustersOf(manifest).filter((cluster) => !this.#sets.has(cluster)),
    };
  }

  heldParts(): string[] {
    return [...this.#parts.keys()];
  }

  heldEndpoints(): HeldEndpoints[] {
    return [...this.#sets.values()].map((set) => ({
      cluster: set.cluster,
      version: set.version,
      hash: endpointsHash(set),
    }));
  }

  /** Drops what none of `manifests` names. */
  retain(manifests: Iterable<Manifest>): void {
    const hashes = new Set<string>();
    const clusters = new Set<string>();
    for (const manifest of manifests) {
      for (const { hash } of manifest.parts) hashes.add(hash);
      for (const cluster of clustersOf(manifest)) clusters.add(cluster);
    }
    for (const hash of this.#parts.keys()) if (!hashes.has(hash)) this.#parts.delete(hash);
    for (const cluster of this.#sets.keys()) if (!clusters.has(cluster)) this.#sets.delete(cluster);
  }
}

/** Names of the clusters whose endpoint sets a manifest needs. */
export function clustersOf(manifest: Manifest): string[] {
  return manifest.parts.filter(({ kind }) => kind === 'cluster').map(({ name }) => name);
}
