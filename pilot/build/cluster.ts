/** A Service port as callers reach it: its protocol and the TrafficPolicy that holds for it. */
import { defaultLimits, defaultRetry, defaultTimeouts } from '../../mesh/defaults.ts';
import { type Cluster, clusterName, type Timeouts } from '../../mesh/model.ts';
import { durationMs } from '../../mesh/resource/duration.ts';
import type { ServicePort } from '../../mesh/resource/service.ts';
import type { TrafficPolicySpec } from '../../mesh/resource/traffic-policy.ts';
import { type Catalog, refOf, type Stored } from './catalog.ts';
import { protocolOf } from './selection.ts';

export function clusterOf(catalog: Catalog, service: Stored<'Service'>, port: ServicePort): Cluster {
  const ref = refOf(service.key);
  const protocol = protocolOf(catalog, service, port);
  const policy = policyOf(catalog, service.key, port);
  return {
    name: clusterName(ref, port.port),
    service: ref,
    port: port.port,
    protocol,
    balance: 'round_robin',
    timeouts: timeoutsOf(policy, defaultTimeouts(protocol)),
    retry: { attempts: policy?.retry.attempts ?? defaultRetry.attempts },
    limits: {
      maxConnections: policy?.limits.maxConnections ?? defaultLimits.maxConnections,
      maxRequests: policy?.limits.maxRequests ?? defaultLimits.maxRequests,
    },
  };
}

/** The policy of that very port before one of the whole Service, and the oldest of its kind. */
function policyOf(catalog: Catalog, key: string, port: ServicePort): TrafficPolicySpec | undefined {
  const specs = catalog.list('TrafficPolicy', key).map((policy) => policy.resource.spec);
  const ofPort = specs.find(
    ({ targetRef }) => targetRef.sectionName !== undefined && targetRef.sectionName === port.name,
  );
  return ofPort ?? specs.find(({ targetRef }) => targetRef.sectionName === undefined);
}

function timeoutsOf(policy: TrafficPolicySpec | undefined, standard: Timeouts): Timeouts {
  const ms = (text: string | undefined) => (text === undefined ? undefined : durationMs(text));
  return {
    // To dial without end helps nobody, so 0 is the standard here.
    connectMs: ms(policy?.timeouts.connect) || standard.connectMs,
    requestMs: ms(policy?.timeouts.request) ?? standard.requestMs,
    idleMs: ms(policy?.timeouts.idle) ?? standard.idleMs,
    detectMs: ms(policy?.timeouts.detect) ?? standard.detectMs,
  };
}
