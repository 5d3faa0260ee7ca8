/**
 * Between the pilot's Config stream and the sidecars of this node: one stream up, a feed down to each sidecar,
 * one cache for all of them. Without a pilot it goes on with what it has.
 */
import type { Log } from '../../kit/log.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { Placement } from '../../mesh/placement.ts';
import type { ConfigRequest, ConfigResponse, Subscribe } from '../../proto/config-wire.ts';
import type { Manifest } from '../../proto/part.ts';
import { type Protocol, programProtocol, requireProtocol } from '../../proto/protocol.ts';
import type { SidecarMessage } from '../../proto/sidecar-wire.ts';
import { NodeCache } from './node-cache.ts';
import { type SendToSidecar, SidecarFeed } from './sidecar-feed.ts';

export interface HubInit {
  readonly node: string;
  readonly bootId: string;
  readonly log: Log;
  readonly onPlacement: (placement: Placement) => void;
  readonly onTrust: (trustBundle: string) => void;
  /** Something that is kept on disk changed. */
  readonly onChange: () => void;
}

/** What is kept over restarts. */
export interface SavedFeed {
  readonly subscription: Subscribe;
  readonly good: Manifest;
}

interface Question {
  readonly sidecar: string;
  /** The id by which that sidecar asked. */
  readonly id: number;
}

/** Look-ups under way for all sidecars; the oldest are given up. */
const maxQuestions = 4096;

export class ConfigHub {
  readonly cache = new NodeCache();
  readonly #init: HubInit;
  readonly #feeds = new Map<string, SidecarFeed>();
  readonly #questions = new Map<number, Question>();
  #lastQuestion = 0;
  #uplink: ((request: ConfigRequest) => void) | undefined;

  constructor(init: HubInit) {
    this.#init = init;
  }

  /** The feed of an instance that is placed here. */
  feed(instance: string): SidecarFeed {
    let feed = this.#feeds.get(instance);
    if (feed === undefined) {
      feed = new SidecarFeed(instance, this.cache);
      this.#feeds.set(instance, feed);
    }
    return feed;
  }

  /** The instance is not placed here any more. */
  drop(instance: string): void {
    if (!this.#feeds.delete(instance)) return;
    this.#uplink?.({ kind: 'unsubscribe', sidecar: instance });
    this.#tidy();
  }

  /** Drops what is not among `instances`. */
  dropOthers(instances: ReadonlySet<string>): void {
    for (const instance of this.#feeds.keys()) if (!instances.has(instance)) this.drop(instance);
  }

  setIdentity(instance: string, identity: IdentityBundle): void {
    this.#feeds.get(instance)?.setIdentity(identity);
  }

  attach(instance: string, protocol: Protocol, send: SendToSidecar): void {
    const feed = this.feed(instance);
    if (!feed.attach(protocol, send)) return;
    this.#subscribe(feed);
    this.#init.onChange();
  }

  detach(instance: string, send: SendToSidecar): void {
    this.#feeds.get(instance)?.detach(send);
  }

  /** One message of a sidecar after its hello. */
  hear(instance: string, message: SidecarMessage): void {
    const feed = this.#feeds.get(instance);
    if (feed === undefined) return;
    switch (message.kind) {
      case 'ack':
      case 'nack':
        this.#settle(feed, message);
        return;
      case 'resolve':
        this.#ask(instance, message.id, message.name);
        return;
      case 'want_endpoints': {
        const clusters = feed.sendSets(message.clusters);
        if (clusters.length > 0) this.#uplink?.({ kind: 'want_endpoints', clusters });
        return;
      }
      case 'hello':
      case 'status':
        return;
    }
  }

  /** A stream to a pilot is open; `send` is good until `disconnect`. */
  connect(send: (request: ConfigRequest) => void): void {
    this.#uplink = send;
    const { node, bootId } = this.#init;
    send({
      kind: 'hello',
      protocol: programProtocol,
      node,
      bootId,
      parts: this.cache.heldParts(),
      endpoints: this.cache.heldEndpoints(),
    });
    for (const feed of this.#feeds.values()) this.#subscribe(feed);
  }

  disconnect(): void {
    this.#uplink = undefined;
    this.#questions.clear();
    for (const feed of this.#feeds.values()) feed.forgetPilot();
  }

  /** One message of the pilot. Throws MeshError where it speaks another protocol. */
  take(response: ConfigResponse): void {
    const { log, onPlacement, onTrust } = this.#init;
    switch (response.kind) {
      case 'hello':
        requireProtocol(response.protocol, `the pilot ${response.pilot}`);
        return;
      case 'parts':
        for (const { kind, name } of this.cache.addParts(response.parts)) {
          log.error('part refused, its content differs from its hash', { kind, name });
        }
        for (const feed of this.#feeds.values()) feed.retry();
        return;
      case 'endpoints':
        this.#update(response);
        return;
      case 'manifest':
        this.#offer(response.sidecar, response.push, response.manifest);
        return;
      case 'resolved': {
        const question = this.#questions.get(response.id);
        this.#questions.delete(response.id);
        if (question === undefined) return;
        this.#feeds.get(question.sidecar)?.answer(question.id, response.answer);
        if (response.answer.kind === 'found') this.#init.onChange();
        return;
      }
      case 'placement':
        onPlacement(response.placement);
        return;
      case 'trust':
        onTrust(response.trustBundle);
        return;
      case 'refused':
        log.error('pilot refused a sidecar', { sidecar: response.sidecar, reason: response.reason });
        return;
    }
  }

  saved(): SavedFeed[] {
    return [...this.#feeds.values()].flatMap((feed) => {
      const subscription = feed.subscription();
      return subscription === undefined || feed.good === undefined ? [] : { subscription, good: feed.good };
    });
  }

  restore({ subscription, good }: SavedFeed): void {
    this.feed(subscription.sidecar).restore(subscription, good);
  }

  #subscribe(feed: SidecarFeed): void {
    const subscription = feed.subscription();
    if (subscription !== undefined) this.#uplink?.(subscription);
  }

  #settle(feed: SidecarFeed, message: SidecarMessage & { kind: 'ack' | 'nack' }): void {
    if (message.kind === 'nack') {
      const { version, problems } = message;
      this.#init.log.error('sidecar refused a configuration', { sidecar: feed.instance, version, problems });
    }
    const before = feed.good;
    if (feed.settle(message.push, message.kind, message.version)) {
      this.#uplink?.({ ...message, sidecar: feed.instance });
    }
    if (feed.good !== before) this.#init.onChange();
    this.#tidy();
  }

  #ask(sidecar: string, id: number, name: string): void {
    if (this.#uplink === undefined) return;
    const [oldest] = this.#questions.keys();
    if (this.#questions.size >= maxQuestions && oldest !== undefined) this.#questions.delete(oldest);
    const question = ++this.#lastQuestion;
    this.#questions.set(question, { sidecar, id });
    this.#uplink({ kind: 'resolve', id: question, sidecar, name });
  }

  #update({ push, update }: ConfigResponse & { kind: 'endpoints' }): void {
    const { changes, wanted } = this.cache.update(update);
    for (const feed of this.#feeds.values()) {
      feed.update(changes);
      feed.retry();
    }
    if (wanted.length > 0) this.#uplink?.({ kind: 'want_endpoints', clusters: wanted });
    this.#uplink?.({ kind: 'endpoint_ack', push });
    if (changes.length > 0) this.#init.onChange();
  }

  #offer(sidecar: string, push: number, manifest: Manifest): void {
    const feed = this.#feeds.get(sidecar);
    if (feed === undefined) return;
    const { parts, endpoints } = feed.offer(push, manifest);
    if (parts.length > 0) this.#uplink?.({ kind: 'want_parts', hashes: parts });
    if (endpoints.length > 0) this.#uplink?.({ kind: 'want_endpoints', clusters: endpoints });
  }

  /** Parts of old manifests go once nobody needs them. */
  #tidy(): void {
    this.cache.retain([...this.#feeds.values()].flatMap((feed) => feed.manifests()));
  }
}
