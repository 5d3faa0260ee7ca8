/**
 * Endpoint sets and deltas: to and from their messages, and what leads from one set to the next.
 * An endpoint whose transport or state this version does not know is left out, not guessed.
 */
import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Endpoint, EndpointSet } from '../mesh/model.ts';
import { filled, portFrom, type Report, safeInteger } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { endpointStates, transports } from './words.ts';

/** What turns the set of version `base` into that of `version`. */
export interface EndpointDelta {
  readonly cluster: string;
  readonly base: number;
  readonly version: number;
  /** New or changed endpoints. */
  readonly upserts: readonly Endpoint[];
  /** Ids. */
  readonly removes: readonly string[];
}

/** The delta from `from` to `to`, two versions of one cluster's set. */
export function endpointDelta(from: EndpointSet, to: EndpointSet): EndpointDelta {
  const before = new Map(from.endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const upserts = to.endpoints.filter((endpoint) => {
    const old = before.get(endpoint.id);
    before.delete(endpoint.id);
    return old === undefined || (old !== endpoint && !sameEndpoint(old, endpoint));
  });
  return {
    cluster: to.cluster,
    base: from.version,
    version: to.version,
    upserts,
    removes: [...before.keys()],
  };
}

/** The next set, or undefined where `set` is not the delta's base and the whole set is needed. */
export function applyDelta(set: EndpointSet | undefined, delta: EndpointDelta): EndpointSet | undefined {
  if (set === undefined || set.version !== delta.base) return undefined;
  const next = new Map(set.endpoints.map((endpoint) => [endpoint.id, endpoint]));
  for (const id of delta.removes) next.delete(id);
  for (const endpoint of delta.upserts) next.set(endpoint.id, endpoint);
  return { cluster: delta.cluster, version: delta.version, endpoints: sorted([...next.values()]) };
}

/** SHA-256 (hex) of a set's members, whatever their order and version. */
export function endpointsHash(set: EndpointSet): string {
  const message = create(wire.EndpointSetSchema, {
    cluster: set.cluster,
    endpoints: sorted(set.endpoints).map(endpointToWire),
  });
  return createHash('sha256').update(toBinary(wire.EndpointSetSchema, message)).digest('hex');
}

export function endpointSetToWire(set: EndpointSet): wire.EndpointSet {
  return create(wire.EndpointSetSchema, {
    cluster: set.cluster,
    version: BigInt(set.version),
    endpoints: set.endpoints.map(endpointToWire),
  });
}

export function endpointSetFromWire(message: wire.EndpointSet, path: string, report: Report): EndpointSet {
  return {
    cluster: filled(message.cluster, `${path}.cluster`, report),
    version: safeInteger(message.version, `${path}.version`, report),
    endpoints: endpointsFromWire(message.endpoints, `${path}.endpoints`, report),
  };
}

export function endpointDeltaToWire(delta: EndpointDelta): wire.EndpointDelta {
  return create(wire.EndpointDeltaSchema, {
    cluster: delta.cluster,
    base: BigInt(delta.base),
    version: BigInt(delta.version),
    upserts: delta.upserts.map(endpointToWire),
    removes: [...delta.removes],
  });
}

/** An upsert that this version cannot read becomes a removal, so that no stale form of it stays. */
export function endpointDeltaFromWire(
  message: wire.EndpointDelta,
  path: string,
  report: Report,
): EndpointDelta {
  const upserts = endpointsFromWire(message.upserts, `${path}.upserts`, report);
  const read = new Set(upserts.map((endpoint) => endpoint.id));
  const unread = message.upserts.filter((endpoint) => !read.has(endpoint.id)).map((endpoint) => endpoint.id);
  return {
    cluster: filled(message.cluster, `${path}.cluster`, report),
    base: safeInteger(message.base, `${path}.base`, report),
    version: safeInteger(message.version, `${path}.version`, report),
    upserts,
    removes: unread.length === 0 ? message.removes : [...message.removes, ...unread],
  };
}

function endpointsFromWire(list: readonly wire.Endpoint[], path: string, report: Report): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const [index, message] of list.entries()) {
    const endpoint = endpointFromWire(message, `${path}[${index}]`, report);
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  return endpoints;
}

function endpointToWire(endpoint: Endpoint): wire.Endpoint {
  return create(wire.EndpointSchema, {
    id: endpoint.id,
    identity: endpoint.identity,
    transport: transports.toWire(endpoint.transport),
    addresses: [...endpoint.addresses],
    port: endpoint.port,
    targetPort: endpoint.targetPort,
    network: endpoint.network,
    locality: { ...endpoint.locality },
    weight: endpoint.weight,
    state: endpointStates.toWire(endpoint.state),
    features: [...endpoint.features],
    shared: endpoint.shared,
  });
}

function endpointFromWire(message: wire.Endpoint, path: string, report: Report): Endpoint | undefined {
  const transport = transports.find(message.transport);
  const state = endpointStates.find(message.state);
  if (transport === undefined || state === undefined) return undefined;
  return {
    id: filled(message.id, `${path}.id`, report),
    identity: message.identity,
    transport,
    addresses: message.addresses,
    port: portFrom(message.port, `${path}.port`, report),
    targetPort: portFrom(message.targetPort, `${path}.targetPort`, report),
    network: message.network,
    locality: { region: message.locality?.region ?? '', zone: message.locality?.zone ?? '' },
    weight: message.weight,
    state,
    features: message.features,
    shared: message.shared,
  };
}

/** Sets made by delta and sent whole have one order. */
function sorted(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.identity === b.identity &&
    a.transport === b.transport &&
    a.port === b.port &&
    a.targetPort === b.targetPort &&
    a.network === b.network &&
    a.locality.region === b.locality.region &&
    a.locality.zone === b.locality.zone &&
    a.weight === b.weight &&
    a.state === b.state &&
    a.shared === b.shared &&
    sameList(a.addresses, b.addresses) &&
    sameList(a.features, b.features)
  );
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((member, index) => member === b[index]);
}
