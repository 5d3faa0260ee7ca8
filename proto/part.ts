/**
 * The parts of a snapshot as they travel: encoded once, named by kind and name, known by the hash of their
 * bytes. Decoding is strict: an unknown field or value anywhere in a part is a problem, because a condition
 * that is dropped from a rule widens it.
 */
import { createHash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import type {
  AuthorizationPolicy,
  Cluster,
  RouteFilter,
  Self,
  ServiceRoutes,
  Snapshot,
  Version,
} from '../mesh/model.ts';
import { clusterName, serviceKey } from '../mesh/model.ts';
import { decode, type Report } from './check.ts';
import { clusterFromWire, clusterToWire } from './cluster.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { policyFromWire, policyToWire } from './policy.ts';
import { routesFromWire, routesToWire } from './routes.ts';
import { selfFromWire, selfToWire } from './self.ts';
import { reportUnknown } from './unknown.ts';

export type PartKind = 'self' | 'service' | 'cluster' | 'policy';

export interface PartRef {
  readonly kind: PartKind;
  /** `serviceKey`, `clusterName`, policy name, or `NAMESPACE/WORKLOAD` of a self part. */
  readonly name: string;
  /** SHA-256 of the content, in hex. */
  readonly hash: string;
}

export interface Part extends PartRef {
  readonly content: Uint8Array;
}

/** What one sidecar's snapshot is made of; endpoint sets of its clusters stand outside. */
export interface Manifest {
  readonly version: Version;
  readonly parts: readonly PartRef[];
}

export type PartValue =
  | { readonly kind: 'self'; readonly value: Self }
  | { readonly kind: 'service'; readonly value: ServiceRoutes }
  | { readonly kind: 'cluster'; readonly value: Cluster }
  | { readonly kind: 'policy'; readonly value: AuthorizationPolicy };

/** The part's bytes and hash. The same value gives the same bytes, whoever encodes it. */
export function encodePart(part: PartValue): Part {
  const content = contentOf(part);
  return { kind: part.kind, name: nameOf(part), hash: contentHash(content), content };
}

/** The value of a part; throws a ParseFailure with every problem, also where hash or name do not fit. */
export function decodePart(part: Part): PartValue {
  const path = `${part.kind}[${part.name}]`;
  return decodeContent(part, path, (value, report) => {
    const name = nameOf(value);
    if (name !== part.name) report({ path, message: `holds '${name}'` });
    if (contentHash(part.content) !== part.hash) report({ path, message: 'content differs from its hash' });
    return value;
  });
}

/** The manifest of `snapshot` whose parts are `parts`. */
export function manifestOf(version: Version, parts: readonly PartRef[]): Manifest {
  return { version, parts: parts.map(({ kind, name, hash }) => ({ kind, name, hash })) };
}

/** All parts of a snapshot, its own first; endpoint sets are not parts. */
export function partsOf(snapshot: Snapshot): Part[] {
  const parts: Part[] = [encodePart({ kind: 'self', value: snapshot.self })];
  for (const value of snapshot.services.values()) parts.push(encodePart({ kind: 'service', value }));
  for (const value of snapshot.clusters.values()) parts.push(encodePart({ kind: 'cluster', value }));
  for (const value of snapshot.policies.values()) parts.push(encodePart({ kind: 'policy', value }));
  return parts;
}

/** SHA-256 (hex) over what a manifest is made of, in any order; the version does not count. */
export function manifestDigest(parts: readonly PartRef[]): string {
  const lines = parts.map(({ kind, name, hash }) => `${kind} ${name} ${hash}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/** SHA-256 of a part's content, in hex. */
export function contentHash(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** The features (protocol.ts) that a receiver needs to understand this part. */
export function featuresOf(part: PartValue): ReadonlySet<string> {
  const needed = new Set<string>();
  switch (part.kind) {
    case 'self':
      needed.add(`access_log.${part.value.accessLog}`);
      if (part.value.via) needed.add('via');
      for (const port of part.value.inbound) needed.add(`mtls.${port.mtls}`).add(`protocol.${port.protocol}`);
      break;
    case 'service':
      addRouteFeatures(part.value, needed);
      break;
    case 'cluster':
      needed.add(`balance.${part.value.balance}`).add(`protocol.${part.value.protocol}`);
      break;
    case 'policy':
      needed.add(`authorization.${part.value.action}`);
      break;
  }
  return needed;
}

function addRouteFeatures(routes: ServiceRoutes, needed: Set<string>): void {
  for (const port of routes.ports) {
    needed.add(`protocol.${port.protocol}`);
    for (const { match, filters, backends } of port.rules) {
      const conditions = [match.path, ...match.headers, ...match.query];
      if (conditions.some((condition) => condition?.kind === 'regex')) needed.add('match.regex');
      if (match.serverName !== undefined) needed.add('match.server_name');
      addFilterFeatures(filters, needed);
      for (const backend of backends) addFilterFeatures(backend.filters, needed);
    }
  }
}

function addFilterFeatures(filters: readonly RouteFilter[], needed: Set<string>): void {
  for (const filter of filters) needed.add(`filter.${filter.kind}`);
}

function contentOf(part: PartValue): Uint8Array {
  switch (part.kind) {
    case 'self':
      return toBinary(wire.SelfSchema, selfToWire(part.value));
    case 'service':
      return toBinary(wire.ServiceRoutesSchema, routesToWire(part.value));
    case 'cluster':
      return toBinary(wire.ClusterSchema, clusterToWire(part.value));
    case 'policy':
      return toBinary(wire.AuthorizationPolicySchema, policyToWire(part.value));
  }
}

function nameOf(part: PartValue): string {
  switch (part.kind) {
    case 'self':
      return `${part.value.namespace}/${part.value.workload}`;
    case 'service':
      return serviceKey(part.value.service);
    case 'cluster':
      return clusterName(part.value.service, part.value.port);
    case 'policy':
      return part.value.name;
  }
}

function decodeContent(
  part: Part,
  path: string,
  check: (value: PartValue, report: Report) => PartValue,
): PartValue {
  const { kind, content } = part;
  switch (kind) {
    case 'self':
      return decode(wire.SelfSchema, content, path, (message, at, report) => {
        reportUnknown(wire.SelfSchema, message, at, report);
        return check({ kind, value: selfFromWire(message, at, report) }, report);
      });
    case 'service':
      return decode(wire.ServiceRoutesSchema, content, path, (message, at, report) => {
        reportUnknown(wire.ServiceRoutesSchema, message, at, report);
        return check({ kind, value: routesFromWire(message, at, report) }, report);
      });
    case 'cluster':
      return decode(wire.ClusterSchema, content, path, (message, at, report) => {
        reportUnknown(wire.ClusterSchema, message, at, report);
        return check({ kind, value: clusterFromWire(message, at, report) }, report);
      });
    case 'policy':
      return decode(wire.AuthorizationPolicySchema, content, path, (message, at, report) => {
        reportUnknown(wire.AuthorizationPolicySchema, message, at, report);
        return check({ kind, value: policyFromWire(message, at, report) }, report);
      });
  }
}
