/**
 * What one sidecar gets: the manifests that the pilot offers, with the parts and endpoint sets that this very
 * process lacks. A new process of the same instance gets the last good configuration at once, pilot or not.
 */
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { ServiceRef, Version } from '../../mesh/model.ts';
import type { EndpointUpdate } from '../../proto/assembler.ts';
import type { Subscribe } from '../../proto/config-wire.ts';
import type { ResolveAnswer } from '../../proto/conversation.ts';
import { type Manifest, manifestDigest } from '../../proto/part.ts';
import type { Protocol } from '../../proto/protocol.ts';
import type { AgentMessage } from '../../proto/sidecar-wire.ts';
import { clustersOf, type Missing, type NodeCache, type SetChange } from './node-cache.ts';

/** A push that no pilot asked for: the last good configuration for a new process. */
export const ownPush = 0;

export type SendToSidecar = (message: AgentMessage) => void;

interface Offer {
  readonly push: number;
  readonly manifest: Manifest;
  /** Whether a pilot waits for the outcome; the stream on which it was offered may have ended since. */
  readonly owed: 'to_pilot' | 'to_nobody';
}

/** The process that is connected now. */
interface Session {
  readonly send: SendToSidecar;
  /** Part hashes and cluster set versions that it holds or is about to. */
  parts: Set<string>;
  sets: Map<string, number>;
}

export class SidecarFeed {
  readonly instance: string;
  readonly #cache: NodeCache;
  #protocol: Protocol | undefined;
  #identity: IdentityBundle | undefined;
  #good: Manifest | undefined;
  /** From the pilot, neither confirmed nor refused. */
  #offer: Offer | undefined;
  /** Answers that must not overtake the manifest they speak of. */
  #heldAnswers: { readonly id: number; readonly answer: ResolveAnswer }[] = [];
  readonly #resolved = new Map<string, ServiceRef>();
  #session: Session | undefined;

  constructor(instance: string, cache: NodeCache) {
    this.instance = instance;
    this.#cache = cache;
  }

  /** Every manifest whose parts must be kept. */
  manifests(): Manifest[] {
    return [this.#good, this.#offer?.manifest].filter((manifest) => manifest !== undefined);
  }

  /** The last configuration that a process of this instance confirmed. */
  get good(): Manifest | undefined {
    return this.#good;
  }

  /** What the pilot is told of it; undefined until it was heard of. */
  subscription(): Subscribe | undefined {
    if (this.#protocol === undefined) return undefined;
    return {
      kind: 'subscribe',
      sidecar: this.instance,
      protocol: this.#protocol,
      version: this.#good?.version,
      resolved: [...this.#resolved.values()],
      manifestDigest: this.#good === undefined ? '' : manifestDigest(this.#good.parts),
    };
  }

  /** Takes up what an earlier life of the agent knew. */
  restore(subscription: Subscribe, good: Manifest | undefined): void {
    this.#protocol = subscription.protocol;
    for (const service of subscription.resolved) this.#remember(service);
    this.#good = good;
  }

  /** A process connected; answers whether the pilot must hear of it (anew). */
  attach(protocol: Protocol, send: SendToSidecar): boolean {
    const isNews = JSON.stringify(protocol) !== JSON.stringify(this.#protocol);
    this.#protocol = protocol;
    this.#session = { send, parts: new Set(), sets: new Map() };
    if (this.#identity !== undefined) send({ kind: 'identity', identity: this.#identity });
    if (this.#good !== undefined)
      this.#deliver(this.#session, { push: ownPush, manifest: this.#good, owed: 'to_nobody' });
    if (this.#offer !== undefined) this.#tryOffer();
    return isNews;
  }

  /** That process is gone; another one may have come before this was noticed. */
  detach(send: SendToSidecar): void {
    if (this.#session?.send === send) this.#session = undefined;
  }

  setIdentity(identity: IdentityBundle): void {
    this.#identity = identity;
    this.#session?.send({ kind: 'identity', identity });
  }

  /** The pilot offers a manifest; answers what must come before it can be handed on. */
  offer(push: number, manifest: Manifest): Missing {
    this.#offer = { push, manifest, owed: 'to_pilot' };
    return this.#tryOffer();
  }

  /** Something that was missing may have come. */
  retry(): void {
    if (this.#offer !== undefined) this.#tryOffer();
  }

  /** The pilot's stream ended; what was handed on already may still be confirmed and then is the good one. */
  forgetPilot(): void {
    const offer = this.#offer;
    this.#offer =
      offer !== undefined && this.#isComplete(offer) ? { ...offer, owed: 'to_nobody' } : undefined;
    this.#heldAnswers = [];
  }

  /** Takes a sidecar's word on a push; answers whether it is due to the pilot. A refused one leaves the good one. */
  settle(push: number, outcome: 'ack' | 'nack', version: Version): boolean {
    const session = this.#session;
    const offer = this.#offer;
    if (push === ownPush || offer?.push !== push || !isSame(offer.manifest.version, version)) return false;
    this.#offer = undefined;
    if (outcome === 'ack' && session !== undefined) {
      this.#good = offer.manifest;
      // The sidecar drops what the manifest in force does not name.
      session.parts = new Set(offer.manifest.parts.map(({ hash }) => hash));
      const clusters = new Set(clustersOf(offer.manifest));
      session.sets = new Map([...session.sets].filter(([cluster]) => clusters.has(cluster)));
    }
    return offer.owed === 'to_pilot';
  }

  /** Hands changed endpoint sets on, as deltas where its base is what this process has. */
  update(changes: readonly SetChange[]): void {
    const session = this.#session;
    if (session === undefined) return;
    const update: { sets: EndpointUpdate['sets'][number][]; deltas: EndpointUpdate['deltas'][number][] } = {
      sets: [],
      deltas: [],
    };
    for (const { set, delta } of changes) {
      const known = session.sets.get(set.cluster);
      if (known === undefined) continue;
      if (delta !== undefined && delta.base === known) update.deltas.push(delta);
      else update.sets.push(set);
      session.sets.set(set.cluster, set.version);
    }
    if (update.sets.length + update.deltas.length > 0) session.send({ kind: 'endpoints', update });
  }

  /** Sends whole sets; answers the clusters whose sets are not here. */
  sendSets(clusters: readonly string[]): readonly string[] {
    const sets = clusters.flatMap((cluster) => this.#cache.set(cluster) ?? []);
    for (const set of sets) this.#session?.sets.set(set.cluster, set.version);
    if (sets.length > 0) this.#session?.send({ kind: 'endpoints', update: { sets, deltas: [] } });
    return clusters.filter((cluster) => this.#cache.set(cluster) === undefined);
  }

  answer(id: number, answer: ResolveAnswer): void {
    if (answer.kind === 'found') this.#remember(answer.service);
    if (this.#offer !== undefined && !this.#isComplete(this.#offer)) this.#heldAnswers.push({ id, answer });
    else this.#session?.send({ kind: 'resolved', id, answer });
  }

  #remember(service: ServiceRef): void {
    this.#resolved.set(`${service.namespace}/${service.name}`, service);
  }

  #isComplete({ manifest }: Offer): boolean {
    const { parts, endpoints } = this.#cache.missing(manifest);
    return parts.length === 0 && endpoints.length === 0;
  }

  #tryOffer(): Missing {
    const offer = this.#offer;
    if (offer === undefined) return { parts: [], endpoints: [] };
    const missing = this.#cache.missing(offer.manifest);
    if (this.#session === undefined || !this.#isComplete(offer)) return missing;
    this.#deliver(this.#session, offer);
    for (const { id, answer } of this.#heldAnswers.splice(0))
      this.#session.send({ kind: 'resolved', id, answer });
    return missing;
  }

  #deliver(session: Session, { push, manifest }: Offer): void {
    const parts = this.#cache.partsOf(manifest).filter(({ hash }) => !session.parts.has(hash));
    for (const { hash } of parts) session.parts.add(hash);
    const sets = this.#cache.setsOf(manifest).filter((set) => session.sets.get(set.cluster) !== set.version);
    for (const set of sets) session.sets.set(set.cluster, set.version);
    if (parts.length > 0) session.send({ kind: 'parts', parts });
    if (sets.length > 0) session.send({ kind: 'endpoints', update: { sets, deltas: [] } });
    session.send({ kind: 'manifest', push, manifest });
  }
}

function isSame(a: Version, b: Version): boolean {
  return a.epoch === b.epoch && a.revision === b.revision;
}
