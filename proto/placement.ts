/** `Placement`, what a node shall run, to and from its message. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { PlacedWorkload, Placement, ProbeTimes, Readiness } from '../mesh/placement.ts';
import { limitsFromWire } from './bootstrap.ts';
import { decodeLoose, each, filled, portFrom, type Report, safeInteger } from './check.ts';
import * as wire from './gen/heddle/v1/placement_pb.ts';
import { callFromWire, callToWire } from './self.ts';
import { appProtocols } from './words.ts';

/** The bytes in which an agent keeps its last placement on disk. */
export function encodePlacement(placement: Placement): Uint8Array {
  return toBinary(wire.PlacementSchema, placementToWire(placement));
}

/** Throws a ParseFailure with every problem by path. */
export function decodePlacement(bytes: Uint8Array): Placement {
  return decodeLoose(wire.PlacementSchema, bytes, 'placement', placementFromWire);
}

export function placementToWire(placement: Placement): wire.Placement {
  return create(wire.PlacementSchema, {
    version: BigInt(placement.version),
    trustDomain: placement.trustDomain,
    workloads: placement.workloads.map(workloadToWire),
  });
}

export function placementFromWire(message: wire.Placement, path: string, report: Report): Placement {
  return {
    version: safeInteger(message.version, `${path}.version`, report),
    trustDomain: filled(message.trustDomain, `${path}.trustDomain`, report),
    workloads: each(message.workloads, `${path}.workloads`, report, workloadFromWire),
  };
}

function workloadToWire(workload: PlacedWorkload): wire.PlacedWorkload {
  const { cwd, user, readiness, restart, limits } = workload;
  return create(wire.PlacedWorkloadSchema, {
    namespace: workload.namespace,
    workload: workload.workload,
    account: workload.account,
    replicas: workload.replicas,
    command: [...workload.command],
    env: { ...workload.env },
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ports: workload.ports.map(({ name, port, protocol, targetPort }) => ({
      name,
      port,
      protocol: appProtocols.toWire(protocol),
      ...(targetPort === undefined ? {} : { targetPort }),
    })),
    calls: workload.calls.map(callToWire),
    ...(readiness === undefined ? {} : { readiness: readinessToWire(readiness) }),
    ...(restart === undefined ? {} : { restart: { ...restart } }),
    ...(limits === undefined ? {} : { limits: { ...limits } }),
  });
}

function workloadFromWire(message: wire.PlacedWorkload, path: string, report: Report): PlacedWorkload {
  const { readiness, restart } = message;
  return {
    namespace: filled(message.namespace, `${path}.namespace`, report),
    workload: filled(message.workload, `${path}.workload`, report),
    account: filled(message.account, `${path}.account`, report),
    replicas: message.replicas,
    command: message.command,
    env: message.env,
    cwd: message.cwd,
    user: message.user,
    ports: each(message.ports, `${path}.ports`, report, (one, at) => ({
      name: one.name,
      port: portFrom(one.port, `${at}.port`, report),
      protocol: appProtocols.fromWire(one.protocol, `${at}.protocol`, report),
      ...(one.targetPort === undefined
        ? {}
        : { targetPort: portFrom(one.targetPort, `${at}.targetPort`, report) }),
    })),
    calls: each(message.calls, `${path}.calls`, report, callFromWire),
    readiness:
      readiness === undefined ? undefined : readinessFromWire(readiness, `${path}.readiness`, report),
    ...(restart === undefined
      ? {}
      : { restart: { baseMs: restart.baseMs, maxMs: restart.maxMs, stableMs: restart.stableMs } }),
    ...limitsFromWire(message.limits, `${path}.limits`, report),
  };
}

function readinessToWire(readiness: Readiness): wire.Readiness {
  return create(wire.ReadinessSchema, {
    port: readiness.port,
    ...(readiness.kind === 'http' ? { httpPath: readiness.path } : {}),
    ...(readiness.kind === 'grpc' ? { grpcService: readiness.service } : {}),
    ...probeTimes(readiness),
  });
}

function readinessFromWire(message: wire.Readiness, path: string, report: Report): Readiness {
  const port = portFrom(message.port, `${path}.port`, report);
  const times = probeTimes(message);
  if (message.grpcService !== undefined)
    return { kind: 'grpc', port, service: message.grpcService, ...times };
  return message.httpPath === undefined
    ? { kind: 'port', port, ...times }
    : { kind: 'http', port, path: message.httpPath, ...times };
}

function probeTimes({ intervalMs, timeoutMs, failures }: ProbeTimes | wire.Readiness): ProbeTimes {
  return {
    ...(intervalMs === undefined ? {} : { intervalMs }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(failures === undefined ? {} : { failures }),
  };
}
