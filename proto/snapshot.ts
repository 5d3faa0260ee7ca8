/** A whole snapshot to and from one message, as static files and saved last-good copies hold it. */
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type AuthorizationPolicy,
  type Cluster,
  clusterName,
  type EndpointSet,
  type Self,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
} from '../mesh/model.ts';
import { decode, each, type Report } from './check.ts';
import { clusterFromWire, clusterToWire } from './cluster.ts';
import { endpointSetFromWire, endpointSetToWire } from './endpoints.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { policyFromWire, policyToWire } from './policy.ts';
import { routesFromWire, routesToWire } from './routes.ts';
import { selfFromWire, selfToWire } from './self.ts';
import { versionFromWire, versionToWire } from './settings.ts';
import { reportUnknown } from './unknown.ts';

export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  return toBinary(wire.SnapshotSchema, snapshotToWire(snapshot));
}

/** Throws a ParseFailure with every problem by path; an unknown field anywhere is one. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  return decode(wire.SnapshotSchema, bytes, 'snapshot', snapshotFromWire);
}

export function snapshotToWire(snapshot: Snapshot): wire.Snapshot {
  return create(wire.SnapshotSchema, {
    version: versionToWire(snapshot.version),
    self: selfToWire(snapshot.self),
    services: [...snapshot.services.values()].map(routesToWire),
    clusters: [...snapshot.clusters.values()].map(clusterToWire),
    policies: [...snapshot.policies.values()].map(policyToWire),
    endpoints: [...snapshot.endpoints.values()].map(endpointSetToWire),
  });
}

export function snapshotFromWire(message: wire.Snapshot, path: string, report: Report): Snapshot {
  reportUnknown(wire.SnapshotSchema, message, path, report);
  if (message.self === undefined) report({ path: `${path}.self`, message: 'missing' });
  const services = each(message.services, `${path}.services`, report, routesFromWire);
  const clusters = each(message.clusters, `${path}.clusters`, report, namedClusterFromWire);
  const policies = each(message.policies, `${path}.policies`, report, policyFromWire);
  const endpoints = each(message.endpoints, `${path}.endpoints`, report, endpointSetFromWire);
  const snapshot: Snapshot = {
    version: versionFromWire(message.version, `${path}.version`, report),
    self: ownPart(message.self, `${path}.self`, report),
    services: byName<ServiceRoutes>(services, (one) => serviceKey(one.service), `${path}.services`, report),
    clusters: byName<Cluster>(clusters, (one) => one.name, `${path}.clusters`, report),
    policies: byName<AuthorizationPolicy>(policies, (one) => one.name, `${path}.policies`, report),
    endpoints: byName<EndpointSet>(endpoints, (one) => one.cluster, `${path}.endpoints`, report),
  };
  for (const name of snapshot.self.policies) {
    if (!snapshot.policies.has(name)) report({ path: `${path}.policies`, message: `'${name}' is missing` });
  }
  return snapshot;
}

function ownPart(message: wire.Self | undefined, path: string, report: Report): Self {
  return selfFromWire(message ?? create(wire.SelfSchema), path, message === undefined ? () => {} : report);
}

function namedClusterFromWire(message: wire.Cluster, path: string, report: Report): Cluster {
  const cluster = clusterFromWire(message, path, report);
  const expected = clusterName(cluster.service, cluster.port);
  if (cluster.name !== expected) report({ path: `${path}.name`, message: `expected '${expected}'` });
  return cluster;
}

function byName<T>(
  list: readonly T[],
  nameOf: (member: T) => string,
  path: string,
  report: Report,
): Map<string, T> {
  const named = new Map<string, T>();
  for (const [index, member] of list.entries()) {
    const name = nameOf(member);
    if (named.has(name)) report({ path: `${path}[${index}]`, message: `'${name}' is here twice` });
    named.set(name, member);
  }
  return named;
}
