/**
 * How one Service's requests are routed (GAMMA): routes in the Service's namespace bind every caller. Routes
 * elsewhere bind callers of their own namespace, and for those they stand in place of the former.
 */
import {
  type AppProtocol,
  clusterName,
  type PortRoutes,
  type RouteRule,
  type ServiceRoutes,
} from '../../mesh/model.ts';
import type { ServicePort } from '../../mesh/resource/service.ts';
import {
  byAge,
  type Catalog,
  isServiceParent,
  type RouteKind,
  refKey,
  refOf,
  type Stored,
} from './catalog.ts';
import { defaultRule, rulesOf } from './rules.ts';
import { protocolOf } from './selection.ts';

/** Kinds of routes that a port of each protocol takes. */
export const routeKindsOf: Readonly<Record<AppProtocol, readonly RouteKind[]>> = {
  http: ['HTTPRoute', 'GRPCRoute'],
  http2: ['HTTPRoute', 'GRPCRoute'],
  grpc: ['HTTPRoute', 'GRPCRoute'],
  tcp: ['TCPRoute'],
  tls: ['TLSRoute', 'TCPRoute'],
  // Connections that are no HTTP go to the Service itself.
  detect: ['HTTPRoute', 'GRPCRoute'],
};

/** Whether callers in `namespace` have routes of their own to this Service. */
export function hasConsumerRoutes(catalog: Catalog, key: string, namespace: string): boolean {
  const service = catalog.get('Service', key);
  if (service === undefined || refOf(key).namespace === namespace) return false;
  return service.resource.spec.ports.some((port) =>
    attachedRoutes(catalog, service, port, protocolOf(catalog, service, port)).some(
      (route) => route.resource.metadata.namespace === namespace,
    ),
  );
}

/** The routes of a Service for callers of `consumer`, or for all others where that is undefined. */
export function serviceRoutes(
  catalog: Catalog,
  key: string,
  consumer: string | undefined,
): ServiceRoutes | undefined {
  const service = catalog.get('Service', key);
  if (service === undefined) return undefined;
  const ports = service.resource.spec.ports.map((port) => portRoutes(catalog, service, port, consumer));
  return { service: refOf(key), ports };
}

function portRoutes(
  catalog: Catalog,
  service: Stored<'Service'>,
  port: ServicePort,
  consumer: string | undefined,
): PortRoutes {
  const protocol = protocolOf(catalog, service, port);
  const attached = attachedRoutes(catalog, service, port, protocol);
  const from = (namespace: string | undefined) =>
    attached.filter((route) => route.resource.metadata.namespace === namespace);
  const own = from(consumer);
  const binding = own.length > 0 ? own : from(service.resource.metadata.namespace);
  return { port: port.port, protocol, rules: boundRules(catalog, service, port, protocol, binding) };
}

/** The routes whose parent is this port, oldest first. */
function attachedRoutes(
  catalog: Catalog,
  service: Stored<'Service'>,
  port: ServicePort,
  protocol: AppProtocol,
): Stored<RouteKind>[] {
  return routeKindsOf[protocol]
    .flatMap((kind): readonly Stored<RouteKind>[] => catalog.list(kind, service.key))
    .filter((route) => isAttached(route, service.key, port))
    .sort(byAge);
}

function boundRules(
  catalog: Catalog,
  service: Stored<'Service'>,
  port: ServicePort,
  protocol: AppProtocol,
  routes: readonly Stored<RouteKind>[],
): RouteRule[] {
  if (routes.length === 0) return [defaultRule(service.key, clusterName(refOf(service.key), port.port))];
  const rules = rulesOf(catalog, routes);
  // Bytes have nothing to choose by: the oldest route has them all.
  return protocol === 'tcp' ? rules.slice(0, 1) : rules;
}

/** Whether one of the route's parents is this port: by number, by name, or by naming none. */
function isAttached(route: Stored<RouteKind>, key: string, port: ServicePort): boolean {
  return route.resource.spec.parentRefs.some(
    (ref) =>
      isServiceParent(ref) &&
      refKey(ref, route.resource.metadata.namespace) === key &&
      (ref.port === undefined || ref.port === port.port) &&
      (ref.sectionName === undefined || ref.sectionName === port.name),
  );
}
