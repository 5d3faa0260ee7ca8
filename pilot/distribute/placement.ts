/** What one node is to run, from the Workloads placed on it. */
import type { PlacedPort, PlacedWorkload, Placement, ProbeTimes, Readiness } from '../../mesh/placement.ts';
import { durationMs } from '../../mesh/resource/duration.ts';
import type { WorkloadSpec } from '../../mesh/resource/workload.ts';
import { catalogOf } from '../build/catalog.ts';
import { placed } from '../build/placement.ts';
import { callsOf } from '../build/self.ts';
import type { World } from '../world/world.ts';

/**
 * One number orders placements of all epochs. Epochs are seconds, so fewer change sets than this in a second keep the
 * order; a larger factor would leave the numbers that are exact (2^53).
 */
const revisionsPerEpoch = 2 ** 20;

export function placementOf(world: World, node: string): Placement {
  const catalog = catalogOf(world);
  const { epoch, revision } = world.version;
  return {
    version: epoch * revisionsPerEpoch + revision,
    trustDomain: world.trustDomain,
    workloads: placed(world, node).map(({ namespace, workload, account, spec }): PlacedWorkload => {
      const stored = catalog.get('Workload', `${namespace}/${workload}`);
      const readiness = readinessOf(spec);
      return {
        namespace,
        workload,
        account,
        replicas: spec.replicas,
        command: [...spec.command, ...spec.args],
        env: spec.env,
        cwd: spec.cwd,
        user: spec.user,
        ports: spec.ports.map(portOf),
        calls: stored === undefined ? [] : callsOf(catalog, stored),
        readiness,
        restart: {
          baseMs: durationMs(spec.restart.baseDelay) ?? 0,
          maxMs: durationMs(spec.restart.maxDelay) ?? 0,
          stableMs: durationMs(spec.restart.stableAfter) ?? 0,
        },
        ...(Object.keys(spec.sidecarLimits).length === 0 ? {} : { limits: spec.sidecarLimits }),
      };
    }),
  };
}

function portOf({ name, port, protocol, targetPort }: WorkloadSpec['ports'][number]): PlacedPort {
  return {
    name: name ?? String(port),
    port,
    protocol,
    ...(targetPort === undefined ? {} : { targetPort }),
  };
}

function readinessOf({ readiness }: WorkloadSpec): Readiness | undefined {
  if (readiness === undefined) return undefined;
  const times: ProbeTimes = {
    ...timeOf('intervalMs', readiness.interval),
    ...timeOf('timeoutMs', readiness.timeout),
    failures: readiness.failures,
  };
  if (readiness.http !== undefined) {
    const { port, path } = readiness.http;
    return { kind: 'http', port, path, ...times };
  }
  if (readiness.grpc !== undefined) {
    const { port, service } = readiness.grpc;
    return { kind: 'grpc', port, service, ...times };
  }
  return readiness.port === undefined ? undefined : { kind: 'port', port: readiness.port, ...times };
}

function timeOf(name: 'intervalMs' | 'timeoutMs', duration: string): ProbeTimes {
  const ms = durationMs(duration);
  return ms === undefined ? {} : { [name]: ms };
}
