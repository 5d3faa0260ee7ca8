/** The part of a snapshot that is the sidecar's own: what its workload serves and calls. */

import { parseServiceName, preferredPort } from '../../mesh/decide/hosts.ts';
import { defaultInboundLimits, defaultTimeouts } from '../../mesh/defaults.ts';
import { workloadName } from '../../mesh/identity.ts';
import { type Call, type InboundPort, type Self, serviceKey } from '../../mesh/model.ts';
import type { Catalog, Stored } from './catalog.ts';
import { mtlsMode, policiesOf } from './policies.ts';
import { protocolOf } from './selection.ts';

export function selfOf(
  catalog: Catalog,
  workload: Stored<'Workload'>,
  node: string,
  trustDomain: string,
): Self {
  const { metadata, spec } = workload.resource;
  const account = accountOf(workload);
  return {
    trustDomain,
    namespace: metadata.namespace,
    workload: metadata.name,
    account,
    node,
    identity: workloadName(trustDomain, metadata.namespace, account),
    inbound: inboundPorts(catalog, workload),
    calls: callsOf(catalog, workload),
    policies: policiesOf(catalog, workload),
    accessLog: spec.accessLog,
    via: spec.via,
  };
}

/** The account in a workload's SPIFFE name. */
export function accountOf(workload: Stored<'Workload'>): string {
  return workload.resource.spec.account ?? workload.resource.metadata.name;
}

function inboundPorts(catalog: Catalog, workload: Stored<'Workload'>): InboundPort[] {
  return workload.resource.spec.ports.map(({ name, port, protocol, shared }) => ({
    name: name ?? String(port),
    port,
    protocol,
    mtls: mtlsMode(catalog, workload, port),
    shared,
    limits: defaultInboundLimits,
    timeouts: defaultTimeouts(protocol),
  }));
}

/** The declared calls; one of a Service that is not there stays only if it names its port. */
export function callsOf(catalog: Catalog, workload: Stored<'Workload'>): Call[] {
  const { metadata, spec } = workload.resource;
  return spec.calls.flatMap((call): Call[] => {
    const ref = parseServiceName(call.service, metadata.namespace)?.service;
    if (ref === undefined) return [];
    const service = catalog.get('Service', serviceKey(ref));
    const ports = (service?.resource.spec.ports ?? []).map((each) => ({
      port: each.port,
      protocol: service === undefined ? ('detect' as const) : protocolOf(catalog, service, each),
    }));
    const port = call.port ?? preferredPort(ports);
    if (port === undefined) return [];
    const protocol = ports.find((each) => each.port === port)?.protocol ?? 'detect';
    return [{ service: ref, port, protocol, localPort: call.localPort }];
  });
}
