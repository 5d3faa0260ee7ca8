/** A node agent as a pilot sees it: it holds parts and endpoint sets, assembles, confirms, and remembers what came. */
import { isDeepStrictEqual } from 'node:util';
import type { Problem } from '../../kit/parse.ts';
import type { EndpointSet, ServiceRef, Snapshot } from '../../mesh/model.ts';
import { Assembler } from '../../proto/assembler.ts';
import type { ConfigRequest, ConfigResponse } from '../../proto/config-wire.ts';
import type { UnknownMessage } from '../../proto/conversation.ts';
import { applyDelta, endpointsHash } from '../../proto/endpoints.ts';
import { type Manifest, manifestDigest, type Part } from '../../proto/part.ts';
import { programProtocol, sidecarProtocol } from '../../proto/protocol.ts';

interface Sidecar {
  readonly assembler: Assembler;
  manifest: Manifest | undefined;
}

export class ScriptedAgent {
  readonly node: string;
  readonly received: (ConfigResponse | UnknownMessage)[] = [];
  /** Answers a manifest; undefined leaves it unanswered. */
  verdict: (snapshot: Snapshot) => 'ack' | 'silence' | readonly Problem[] = () => 'ack';
  confirmsEndpoints = true;
  #send: (request: ConfigRequest) => void = () => {};
  readonly #sidecars = new Map<string, Sidecar>();
  readonly #parts = new Map<string, Part>();
  readonly #sets = new Map<string, EndpointSet>();
  #ids = 0;

  constructor(node: string) {
    this.node = node;
  }

  /** Begins a stream; what it holds from an earlier one is told. */
  connect(send: (request: ConfigRequest) => void): void {
    this.#send = send;
    send({
      kind: 'hello',
      protocol: programProtocol,
      node: this.node,
      bootId: 'boot',
      parts: [...this.#parts.keys()],
      endpoints: Array.from(this.#sets.values(), (set) => ({
        cluster: set.cluster,
        version: set.version,
        hash: endpointsHash(set),
      })),
    });
    for (const id of this.#sidecars.keys()) this.subscribe(id);
  }

  subscribe(id: string, resolved: readonly ServiceRef[] = [], features = sidecarProtocol.features): void {
    const sidecar = this.#sidecars.get(id) ?? { assembler: new Assembler(), manifest: undefined };
    this.#sidecars.set(id, sidecar);
    sidecar.assembler.addParts([...this.#parts.values()]);
    sidecar.assembler.addEndpoints({ sets: [...this.#sets.values()], deltas: [] });
    this.#send({
      kind: 'subscribe',
      sidecar: id,
      protocol: { ...sidecarProtocol, features },
      version: sidecar.assembler.active?.version,
      resolved,
      manifestDigest: sidecar.manifest === undefined ? '' : manifestDigest(sidecar.manifest.parts),
    });
  }

  resolve(sidecar: string, name: string): void {
    this.#ids += 1;
    this.#send({ kind: 'resolve', id: this.#ids, sidecar, name });
  }

  say(request: ConfigRequest): void {
    this.#send(request);
  }

  snapshot(id: string): Snapshot | undefined {
    return this.#sidecars.get(id)?.assembler.active;
  }

  /** What came, of one kind. */
  of<K extends ConfigResponse['kind']>(kind: K): Extract<ConfigResponse, { kind: K }>[] {
    return this.received.filter(
      (message): message is Extract<ConfigResponse, { kind: K }> => message.kind === kind,
    );
  }

  receive(message: ConfigResponse | UnknownMessage): void {
    this.received.push(message);
    if (message.kind === 'parts') {
      for (const part of message.parts) this.#parts.set(part.hash, part);
      for (const { assembler } of this.#sidecars.values()) assembler.addParts(message.parts);
    } else if (message.kind === 'endpoints') this.#takeEndpoints(message);
    else if (message.kind === 'manifest') this.#take(message);
  }

  #takeEndpoints({ push, update }: Extract<ConfigResponse, { kind: 'endpoints' }>): void {
    for (const set of update.sets) this.#sets.set(set.cluster, set);
    for (const delta of update.deltas) {
      const next = applyDelta(this.#sets.get(delta.cluster), delta);
      if (next === undefined) this.#send({ kind: 'want_endpoints', clusters: [delta.cluster] });
      else this.#sets.set(delta.cluster, next);
    }
    for (const { assembler } of this.#sidecars.values()) {
      assembler.addEndpoints({ sets: [...this.#sets.values()], deltas: [] });
    }
    if (this.confirmsEndpoints) this.#send({ kind: 'endpoint_ack', push });
  }

  #take(message: Extract<ConfigResponse, { kind: 'manifest' }>): void {
    const sidecar = this.#sidecars.get(message.sidecar);
    if (sidecar === undefined) return;
    const { push, manifest } = message;
    const { version } = manifest;
    sidecar.assembler.offer(push, manifest);
    const assembled = sidecar.assembler.assemble();
    if (assembled.kind === 'waiting') {
      throw new Error(`the pilot did not send everything: ${JSON.stringify(assembled.missing)}`);
    }
    if (assembled.kind === 'refused') {
      this.#send({ kind: 'nack', sidecar: message.sidecar, push, version, problems: assembled.problems });
      return;
    }
    const verdict = this.verdict(assembled.snapshot);
    if (verdict === 'silence') return;
    if (verdict !== 'ack') {
      this.#send({ kind: 'nack', sidecar: message.sidecar, push, version, problems: verdict });
      return;
    }
    sidecar.assembler.accept(push);
    sidecar.manifest = manifest;
    this.#send({ kind: 'ack', sidecar: message.sidecar, push, version });
  }
}

/** Whether two snapshots say the same, whatever the order of their tables and the versions of endpoint sets. */
export function isSameSnapshot(a: Snapshot | undefined, b: Snapshot | undefined): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

function plain(snapshot: Snapshot | undefined): unknown {
  if (snapshot === undefined) return undefined;
  const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    self: snapshot.self,
    version: snapshot.version,
    services: sorted(snapshot.services),
    clusters: sorted(snapshot.clusters),
    policies: sorted(snapshot.policies),
    endpoints: sorted(snapshot.endpoints).map(([name, set]) => [name, set.endpoints]),
  };
}
