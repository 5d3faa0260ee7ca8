/**
 * One node agent's Config stream as the pilot sees it: what the agent holds, what each of its sidecars runs,
 * what is under way. No I/O: messages come in by `receive`, go out by `send`.
 *
 * For each sidecar at most one manifest is under way, for the stream at most one round of endpoint changes;
 * what changes meanwhile is merged into the next one.
 */
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { ConfigHello, ConfigRequest, ConfigResponse, Subscribe } from '../../proto/config-wire.ts';
import type { UnknownMessage } from '../../proto/conversation.ts';
import { manifestOf, type Part } from '../../proto/part.ts';
import { programProtocol, requireProtocol } from '../../proto/protocol.ts';
import type { SidecarStatus } from '../api/sidecar-status.ts';
import { EndpointLane } from './endpoint-lane.ts';
import { parseInstanceId } from './instance-id.ts';
import { isBehind, type Plan, type PlannedConfig, servicesByKey } from './planner.ts';
import { Subscription } from './subscription.ts';

export interface NodeStreamOptions {
  /** By the agent's certificate. */
  readonly node: string;
  /** Names this pilot in its hello. */
  readonly pilot: string;
  readonly plan: Plan;
  readonly trustBundle: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly send: (response: ConfigResponse) => void;
}

/** A node runs at most so many sidecars. */
export const maxSidecars = 4096;
/** Services that one sidecar may learn beyond its declared calls. */
const maxResolved = 1024;
/** Parts go out in messages of about this size, so that none comes near the limit of a message. */
const partsMessageBytes = 1024 * 1024;

export class NodeStream {
  readonly node: string;
  readonly #options: NodeStreamOptions;
  readonly #sidecars = new Map<string, Subscription>();
  /** Hashes of parts that the agent holds or is being sent. */
  readonly #held = new Set<string>();
  readonly #endpoints: EndpointLane;
  #plan: Plan;
  #placement: string | undefined;
  #trustBundle: string;
  #pushes = 0;
  #isGreeted = false;

  constructor(options: NodeStreamOptions) {
    this.node = options.node;
    this.#options = options;
    this.#plan = options.plan;
    this.#trustBundle = options.trustBundle;
    this.#endpoints = new EndpointLane({
      send: options.send,
      current: (cluster) => this.#plan.endpointsOf(cluster),
    });
  }

  /** Takes one message. Throws MeshError where the agent breaks the protocol: the stream is over then. */
  receive(request: ConfigRequest | UnknownMessage): void {
    if (!this.#isGreeted && request.kind !== 'hello') throw broken(`'${request.kind}' before 'hello'`);
    switch (request.kind) {
      case 'hello':
        this.#greet(request);
        break;
      case 'subscribe':
        this.#subscribe(request);
        break;
      case 'unsubscribe':
        this.#sidecars.delete(request.sidecar);
        this.#forgetUnused();
        break;
      case 'ack':
      case 'nack':
        this.#settle(request);
        break;
      case 'resolve':
        this.#resolve(request);
        break;
      case 'want_endpoints':
        this.#endpoints.sendWhole(request.clusters);
        break;
      case 'want_parts':
        this.#sendWanted(request.hashes);
        break;
      case 'endpoint_ack':
        this.#endpoints.acknowledged(request.push);
        break;
      case 'unknown':
        break;
    }
  }

  /** Another World: everything that differs is pushed. */
  update(plan: Plan): void {
    this.#plan = plan;
    if (!this.#isGreeted) return;
    this.#sendPlacement();
    for (const sidecar of this.#sidecars.values()) this.#refresh(sidecar);
    this.#endpoints.markAll();
    this.#endpoints.flush();
  }

  /** Another World that differs in endpoints of `clusters` only: the fast lane. */
  updateEndpoints(plan: Plan, clusters: Iterable<string>): void {
    this.#plan = plan;
    this.#endpoints.mark(clusters);
    this.#endpoints.flush();
  }

  updateTrust(trustBundle: string): void {
    if (trustBundle === this.#trustBundle) return;
    this.#trustBundle = trustBundle;
    if (this.#isGreeted) this.#options.send({ kind: 'trust', trustBundle });
  }

  status(): SidecarStatus[] {
    return Array.from(this.#sidecars.values(), (sidecar) => sidecar.status(this.node, this.#plan));
  }

  #greet(hello: ConfigHello): void {
    if (this.#isGreeted) throw broken(`a second 'hello'`);
    requireProtocol(hello.protocol, `agent of node '${this.node}'`);
    if (hello.node !== this.node) {
      throw new MeshError(
        'identity_refused',
        `the certificate is of node '${this.node}', the agent says it is '${hello.node}'`,
        { origin: 'downstream' },
      );
    }
    this.#isGreeted = true;
    for (const hash of hello.parts) this.#held.add(hash);
    this.#endpoints.hold(hello.endpoints);
    const { send, pilot } = this.#options;
    send({ kind: 'hello', protocol: programProtocol, pilot });
    send({ kind: 'trust', trustBundle: this.#trustBundle });
    this.#sendPlacement();
  }

  #subscribe(request: Subscribe): void {
    const { sidecar: id } = request;
    const name = parseInstanceId(id);
    if (name === undefined || name.node !== this.node) {
      this.#refuse(id, `'${id}' is no instance of node '${this.node}'`);
      return;
    }
    if (this.#sidecars.size >= maxSidecars && !this.#sidecars.has(id)) {
      this.#refuse(id, `node '${this.node}' has ${maxSidecars} sidecars already`);
      return;
    }
    try {
      requireProtocol(request.protocol, `sidecar '${id}'`);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      this.#refuse(id, error.message);
      return;
    }
    const sidecar = new Subscription({
      name,
      id,
      features: new Set(request.protocol.features),
      version: request.version,
      digest: request.manifestDigest,
      resolved: servicesByKey(request.resolved.slice(0, maxResolved)),
    });
    this.#sidecars.set(id, sidecar);
    this.#refresh(sidecar);
    // Whatever becomes of what it is sent: until then its endpoints stay current.
    if (sidecar.runsUnseen) this.#endpoints.addHeld();
  }

  /** Brings one sidecar up to date, or notes what it waits for. */
  #refresh(sidecar: Subscription): void {
    if (sidecar.inFlight !== undefined) {
      sidecar.isStale = true;
      return;
    }
    const config = this.#plan.configOf(sidecar.subscriber);
    if (config === undefined) {
      this.#sidecars.delete(sidecar.id);
      this.#refuse(sidecar.id, `workload of '${sidecar.id}' is not placed on node '${this.node}'`);
      this.#forgetUnused();
      return;
    }
    sidecar.isStale = false;
    if (this.#isUpToDate(sidecar, config)) this.#endpoints.add(config.clusters);
    else if (this.#mayPush(sidecar, config)) this.#push(sidecar, config);
    for (const answer of sidecar.takeAnswers()) this.#options.send(answer);
  }

  #isUpToDate(sidecar: Subscription, config: PlannedConfig): boolean {
    if (sidecar.digest !== config.digest) return false;
    const { version } = this.#plan;
    const held = sidecar.version;
    sidecar.settled({ version: held !== undefined && isBehind(version, held) ? held : version, config });
    return true;
  }

  #mayPush(sidecar: Subscription, config: PlannedConfig): boolean {
    const lacking = [...config.features].filter((feature) => !sidecar.features.has(feature));
    if (lacking.length > 0) sidecar.withheld = `the sidecar lacks ${lacking.sort().join(', ')}: upgrade it`;
    else if (isBehind(this.#plan.version, sidecar.version)) {
      sidecar.withheld = 'this pilot is behind what the sidecar runs';
    } else sidecar.withheld = undefined;
    // What was refused is not sent again until something in it changed.
    return sidecar.withheld === undefined && sidecar.refused?.digest !== config.digest;
  }

  #push(sidecar: Subscription, config: PlannedConfig): void {
    const { send, clock } = this.#options;
    this.#sendParts(config.parts.filter((part) => !this.#held.has(part.hash)));
    this.#endpoints.add(config.clusters);
    this.#pushes += 1;
    const { version } = this.#plan;
    sidecar.inFlight = { push: this.#pushes, version, config, sinceMs: clock.wallMs() };
    send({
      kind: 'manifest',
      sidecar: sidecar.id,
      push: this.#pushes,
      manifest: manifestOf(version, config.parts),
    });
  }

  #settle(request: Extract<ConfigRequest, { kind: 'ack' | 'nack' }>): void {
    const sidecar = this.#sidecars.get(request.sidecar);
    const inFlight = sidecar?.inFlight;
    if (sidecar === undefined || inFlight === undefined || inFlight.push !== request.push) return;
    sidecar.inFlight = undefined;
    if (request.kind === 'ack') {
      sidecar.settled(inFlight);
      this.#forgetUnused();
    } else {
      const { problems } = request;
      sidecar.nacked(inFlight, problems, this.#options.clock.wallMs());
      this.#options.log.warn('configuration refused by a sidecar', { sidecar: sidecar.id, problems });
    }
    if (sidecar.isStale) this.#refresh(sidecar);
  }

  #resolve(request: Extract<ConfigRequest, { kind: 'resolve' }>): void {
    const sidecar = this.#sidecars.get(request.sidecar);
    if (sidecar === undefined) return;
    const { id, name } = request;
    const answer = this.#plan.resolve(name, sidecar.name.namespace);
    const response: ConfigResponse = { kind: 'resolved', id, sidecar: sidecar.id, answer };
    if (answer.kind === 'absent') {
      this.#options.send(response);
      return;
    }
    if (sidecar.resolved.size < maxResolved) sidecar.learn(answer.service);
    sidecar.answerLater(response);
    this.#refresh(sidecar);
  }

  #sendParts(parts: readonly Part[]): void {
    let batch: Part[] = [];
    let bytes = 0;
    for (const part of parts) {
      this.#held.add(part.hash);
      if (batch.length > 0 && bytes + part.content.length > partsMessageBytes) {
        this.#options.send({ kind: 'parts', parts: batch });
        batch = [];
        bytes = 0;
      }
      batch.push(part);
      bytes += part.content.length;
    }
    if (batch.length > 0) this.#options.send({ kind: 'parts', parts: batch });
  }

  #sendWanted(hashes: readonly string[]): void {
    const wanted = new Map<string, Part>();
    for (const sidecar of this.#sidecars.values()) {
      for (const part of sidecar.configs().flatMap((config) => config.parts)) wanted.set(part.hash, part);
    }
    this.#sendParts(hashes.flatMap((hash) => wanted.get(hash) ?? []));
  }

  #sendPlacement(): void {
    const placement = this.#plan.placementOf(this.node);
    const { version: _version, ...content } = placement;
    const text = JSON.stringify(content);
    if (text === this.#placement) return;
    this.#placement = text;
    this.#options.send({ kind: 'placement', placement });
  }

  #refuse(sidecar: string, reason: string): void {
    this.#options.log.warn('subscription refused', { node: this.node, sidecar, reason });
    this.#options.send({ kind: 'refused', sidecar, reason });
  }

  /** The agent drops what no manifest names; so does this picture of it, or a part would be missing later. */
  #forgetUnused(): void {
    const subscriptions = [...this.#sidecars.values()];
    // What a sidecar still runs from an earlier stream is known to the agent alone.
    if (subscriptions.some((sidecar) => sidecar.runsUnseen)) return;
    const configs = subscriptions.flatMap((sidecar) => sidecar.configs());
    this.#endpoints.keepOnly(new Set(configs.flatMap((config) => config.clusters)));
    const named = new Set(configs.flatMap((config) => config.parts.map((part) => part.hash)));
    for (const hash of this.#held) if (!named.has(hash)) this.#held.delete(hash);
  }
}

function broken(what: string): MeshError {
  return new MeshError('malformed_message', `the agent broke the protocol: ${what}`, {
    origin: 'downstream',
  });
}
