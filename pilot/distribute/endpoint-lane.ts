/**
 * Endpoint sets of one stream: whole at first, then by deltas against what was sent last. At most one round of
 * changes is under way; clusters that change meanwhile wait for its confirmation and go together.
 */
import type { EndpointSet } from '../../mesh/model.ts';
import type { ConfigResponse, HeldEndpoints } from '../../proto/config-wire.ts';
import { type EndpointDelta, endpointDelta, endpointsHash } from '../../proto/endpoints.ts';

export interface EndpointLaneOptions {
  readonly send: (response: ConfigResponse) => void;
  /** The set as it is now; undefined where the cluster is gone. */
  readonly current: (cluster: string) => EndpointSet | undefined;
}

/** Endpoints in one message; a message of 16 MiB holds some 60,000. */
const maxEndpointsPerMessage = 10_000;

export class EndpointLane {
  readonly #options: EndpointLaneOptions;
  /** What the agent has, as far as it was told, by cluster. */
  readonly #sent = new Map<string, EndpointSet>();
  /** What it said it held at the beginning, until it is needed. */
  readonly #held = new Map<string, HeldEndpoints>();
  readonly #dirty = new Set<string>();
  readonly #inFlight = new Set<number>();
  #pushes = 0;

  constructor(options: EndpointLaneOptions) {
    this.#options = options;
  }

  hold(held: readonly HeldEndpoints[]): void {
    for (const one of held) this.#held.set(one.cluster, one);
  }

  /** Sends the sets of clusters that the agent has not got yet; before the manifest that names them. */
  add(clusters: readonly string[]): void {
    const sets: EndpointSet[] = [];
    for (const cluster of clusters) {
      if (this.#sent.has(cluster)) continue;
      const set = this.#current(cluster);
      const held = this.#held.get(cluster);
      this.#held.delete(cluster);
      if (held !== undefined && held.hash === endpointsHash(set)) {
        // The same members under the agent's own number: the next delta begins there.
        this.#sent.set(cluster, { ...set, version: held.version });
      } else {
        sets.push(set);
      }
    }
    this.#send(sets, []);
  }

  /** Keeps everything current that the agent said it holds and that still is. */
  addHeld(): void {
    this.add([...this.#held.keys()].filter((cluster) => this.#options.current(cluster) !== undefined));
  }

  /** Sends sets whole, because the agent lacks a delta's base. */
  sendWhole(clusters: readonly string[]): void {
    this.#send(
      clusters.filter((cluster) => this.#sent.has(cluster)).map((cluster) => this.#current(cluster)),
      [],
    );
  }

  mark(clusters: Iterable<string>): void {
    for (const cluster of clusters) if (this.#sent.has(cluster)) this.#dirty.add(cluster);
  }

  markAll(): void {
    for (const cluster of this.#sent.keys()) this.#dirty.add(cluster);
  }

  /** Sends what changed, unless a round is still under way. */
  flush(): void {
    if (this.#inFlight.size > 0 || this.#dirty.size === 0) return;
    const sets: EndpointSet[] = [];
    const deltas: EndpointDelta[] = [];
    for (const cluster of this.#dirty) {
      const last = this.#sent.get(cluster);
      const now = this.#current(cluster);
      if (last === undefined || last.endpoints === now.endpoints) continue;
      const next = now.version > last.version ? now : { ...now, version: last.version + 1 };
      const delta = endpointDelta(last, next);
      if (delta.upserts.length + delta.removes.length === 0) continue;
      if (delta.upserts.length + delta.removes.length < next.endpoints.length) {
        this.#sent.set(cluster, next);
        deltas.push(delta);
      } else sets.push(next);
    }
    this.#dirty.clear();
    this.#send(sets, deltas);
  }

  acknowledged(push: number): void {
    if (this.#inFlight.delete(push)) this.flush();
  }

  /** Forgets clusters that no manifest names any more; the agent drops them too. */
  keepOnly(clusters: ReadonlySet<string>): void {
    for (const cluster of this.#sent.keys()) {
      if (!clusters.has(cluster)) this.#sent.delete(cluster);
    }
  }

  /** A cluster that is gone has nobody behind it. */
  #current(cluster: string): EndpointSet {
    const set = this.#options.current(cluster);
    if (set !== undefined) return set;
    const last = this.#sent.get(cluster);
    return { cluster, version: (last?.version ?? 0) + 1, endpoints: [] };
  }

  #send(sets: readonly EndpointSet[], deltas: readonly EndpointDelta[]): void {
    let batch: EndpointSet[] = [];
    let endpoints = 0;
    for (const set of sets) {
      this.#sent.set(set.cluster, set);
      if (batch.length > 0 && endpoints + set.endpoints.length > maxEndpointsPerMessage) {
        this.#sendUpdate(batch, []);
        batch = [];
        endpoints = 0;
      }
      batch.push(set);
      endpoints += set.endpoints.length;
    }
    if (batch.length > 0 || deltas.length > 0) this.#sendUpdate(batch, deltas);
  }

  #sendUpdate(sets: readonly EndpointSet[], deltas: readonly EndpointDelta[]): void {
    this.#pushes += 1;
    this.#inFlight.add(this.#pushes);
    this.#options.send({ kind: 'endpoints', push: this.#pushes, update: { sets, deltas } });
  }
}
