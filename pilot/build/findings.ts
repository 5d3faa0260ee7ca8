/**
 * What is accepted and still will not do what its author wants: references that lead nowhere, selectors that
 * select nothing. Codes are stable; `apply` prints them as warnings.
 */
import { parseServiceName } from '../../mesh/decide/hosts.ts';
import { type ServiceRef, serviceKey } from '../../mesh/model.ts';
import type { GrpcRouteRule } from '../../mesh/resource/grpc-route.ts';
import type { HttpRouteRule } from '../../mesh/resource/http-route.ts';
import type { BackendRef, ParentRef } from '../../mesh/resource/route-parts.ts';
import type { TcpRouteRule } from '../../mesh/resource/tcp-route.ts';
import type { TlsRouteRule } from '../../mesh/resource/tls-route.ts';
import type { World } from '../world/world.ts';
import { backendFault } from './backends.ts';
import {
  catalogOf,
  isServiceParent,
  type Kind,
  type RouteKind,
  refKey,
  type Stored,
  type WholeCatalog,
} from './catalog.ts';
import { isSelected, protocolOf, targetOf, workloadsOf } from './selection.ts';
import { routeKindsOf } from './service-routes.ts';

export const findingCodes = {
  HED0101: 'route-without-service',
  HED0102: 'parent-without-service',
  HED0103: 'route-without-port',
  HED0104: 'reference-not-granted',
  HED0105: 'parent-without-port',
  HED0106: 'parent-not-in-mesh',
  HED0107: 'rule-without-backend',
  HED0108: 'service-without-workload',
  HED0109: 'service-without-target-port',
  HED0110: 'instance-without-service',
  HED0111: 'workload-without-node',
  HED0112: 'call-without-service',
  HED0113: 'policy-without-service',
  HED0114: 'policy-without-workload',
} as const;

export type FindingCode = keyof typeof findingCodes;

export interface Finding {
  readonly code: FindingCode;
  /** What the code stands for, in words with hyphens. */
  readonly name: string;
  readonly kind: string;
  /** `NAMESPACE/NAME` of the resource it is about. */
  readonly resource: string;
  /** Where in that resource. */
  readonly path: string;
  readonly message: string;
}

type Find = (code: FindingCode, path: string, message: string) => void;

/** Every finding of a World, by kind and name of the resource. */
export function findings(world: World): Finding[] {
  const catalog = catalogOf(world);
  const found: Finding[] = [];
  for (const [kind, check] of Object.entries(checks)) {
    for (const stored of catalog.all(kind as Kind)) {
      const find: Find = (code, path, message) => {
        found.push({ code, name: findingCodes[code], kind, resource: stored.key, path, message });
      };
      check(catalog, stored as never, find);
    }
  }
  return found.sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
}

function sortKey(finding: Finding): string {
  return `${finding.kind} ${finding.resource} ${finding.path} ${finding.code}`;
}

type Check<K extends Kind> = (catalog: WholeCatalog, stored: Stored<K>, find: Find) => void;

const checks: { readonly [K in Kind]?: Check<K> } = {
  HTTPRoute: checkRoute,
  GRPCRoute: checkRoute,
  TCPRoute: checkRoute,
  TLSRoute: checkRoute,
  Service: checkService,
  ServiceInstance(catalog, stored, find) {
    const { service } = stored.resource.spec;
    const key = `${stored.resource.metadata.namespace}/${service}`;
    if (catalog.get('Service', key) === undefined) {
      find('HED0110', 'spec.service', `service ${key} does not exist`);
    }
  },
  Workload(catalog, stored, find) {
    const { metadata, spec } = stored.resource;
    if (spec.node === undefined && spec.nodeSelector === undefined) {
      find('HED0111', 'spec', "neither 'node' nor 'nodeSelector': no agent starts it");
    }
    spec.calls.forEach((call, index) => {
      const service = parseServiceName(call.service, metadata.namespace)?.service;
      const missing = service === undefined ? call.service : missingCall(catalog, service, call.port);
      if (missing !== undefined) {
        find('HED0112', `spec.calls[${index}]`, `service ${missing} does not exist`);
      }
    });
  },
  TrafficPolicy(catalog, stored, find) {
    const { targetRef } = stored.resource.spec;
    const key = refKey(targetRef, stored.resource.metadata.namespace);
    const service = catalog.get('Service', key);
    const { sectionName } = targetRef;
    if (service === undefined) find('HED0113', 'spec.targetRef', `service ${key} does not exist`);
    else if (
      sectionName !== undefined &&
      !service.resource.spec.ports.some((port) => port.name === sectionName)
    ) {
      find('HED0113', 'spec.targetRef.sectionName', `service ${key} has no port named ${sectionName}`);
    }
  },
  AuthorizationPolicy: checkSelector,
  PeerAuthentication: checkSelector,
};

function checkRoute(catalog: WholeCatalog, route: Stored<RouteKind>, find: Find): void {
  const { spec } = route.resource;
  spec.parentRefs.forEach((ref, index) => {
    checkParent(catalog, route, ref, `spec.parentRefs[${index}]`, find);
  });
  spec.rules.forEach((rule, index) => {
    const at = `spec.rules[${index}]`;
    if (rule.backendRefs.length === 0 && !redirects(rule)) {
      find('HED0107', at, 'the rule names no backend: its requests get 500');
    }
    rule.backendRefs.forEach((ref, nth) => {
      checkBackend(catalog, route, ref, `${at}.backendRefs[${nth}]`, find);
    });
  });
}

function redirects(rule: HttpRouteRule | GrpcRouteRule | TcpRouteRule | TlsRouteRule): boolean {
  const filters: readonly { readonly type: string }[] = 'filters' in rule ? rule.filters : [];
  return filters.some((filter) => filter.type === 'RequestRedirect');
}

function checkParent(
  catalog: WholeCatalog,
  route: Stored<RouteKind>,
  ref: ParentRef,
  at: string,
  find: Find,
): void {
  if (!isServiceParent(ref)) {
    find('HED0106', at, `a ${ref.kind} is no parent inside the mesh; expected kind: Service`);
    return;
  }
  const key = refKey(ref, route.resource.metadata.namespace);
  const service = catalog.get('Service', key);
  if (service === undefined) {
    find('HED0102', at, `service ${key} does not exist`);
    return;
  }
  const kind = route.resource.kind as RouteKind;
  const named = service.resource.spec.ports.filter(
    (port) =>
      (ref.port === undefined || ref.port === port.port) &&
      (ref.sectionName === undefined || ref.sectionName === port.name),
  );
  if (named.length === 0) find('HED0105', at, `service ${key} has no such port`);
  else if (!named.some((port) => routeKindsOf[protocolOf(catalog, service, port)].includes(kind))) {
    find('HED0105', at, `no such port of service ${key} speaks what a ${kind} routes`);
  }
}

function checkBackend(
  catalog: WholeCatalog,
  route: Stored<RouteKind>,
  ref: BackendRef,
  at: string,
  find: Find,
): void {
  const key = refKey(ref, route.resource.metadata.namespace);
  const fault = backendFault(catalog, route, ref);
  const outcome = 'its share of requests gets 500';
  if (fault === 'no_service') find('HED0101', at, `service ${key} does not exist: ${outcome}`);
  if (fault === 'no_port') find('HED0103', at, `service ${key} has no port ${ref.port}: ${outcome}`);
  if (fault === 'not_granted') find('HED0104', at, `no ReferenceGrant admits service ${key}: ${outcome}`);
}

function checkService(catalog: WholeCatalog, service: Stored<'Service'>, find: Find): void {
  const workloads = workloadsOf(catalog, service);
  const hasInstances = catalog.list('ServiceInstance', service.key).length > 0;
  if (workloads.length === 0 && !hasInstances) {
    find('HED0108', 'spec.selector', 'no workload has these labels and no ServiceInstance names it');
  }
  service.resource.spec.ports.forEach((port, index) => {
    for (const workload of workloads) {
      if (targetOf(port, workload) === undefined) {
        const target = port.targetPort ?? port.port;
        find('HED0109', `spec.ports[${index}]`, `workload ${workload.key} has no port ${target}`);
      }
    }
  });
}

/** What of a call is not there, as text; undefined where all is. */
function missingCall(catalog: WholeCatalog, ref: ServiceRef, port: number | undefined): string | undefined {
  const service = catalog.get('Service', serviceKey(ref));
  if (service === undefined) return serviceKey(ref);
  const isThere = port === undefined || service.resource.spec.ports.some((each) => each.port === port);
  return isThere ? undefined : `${serviceKey(ref)}:${port}`;
}

function checkSelector(
  catalog: WholeCatalog,
  policy: Stored<'AuthorizationPolicy'> | Stored<'PeerAuthentication'>,
  find: Find,
): void {
  const { selector } = policy.resource.spec;
  if (selector === undefined) return;
  const workloads = catalog.list('Workload', policy.resource.metadata.namespace);
  if (!workloads.some((workload) => isSelected(selector, workload.resource.metadata.labels))) {
    find('HED0114', 'spec.selector', 'no workload of the namespace has these labels');
  }
}
