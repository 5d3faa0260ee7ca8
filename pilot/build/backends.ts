/** A route's references to Services → clusters, or the problem that their share of requests is answered with. */
import { type Backend, clusterName, type RouteFilter } from '../../mesh/model.ts';
import type { BackendRef } from '../../mesh/resource/route-parts.ts';
import { type Catalog, type RouteKind, refKey, refOf, type Stored } from './catalog.ts';
import { filtersOf } from './filters.ts';

/** Why a reference leads nowhere. */
export type BackendFault = 'no_service' | 'no_port' | 'not_granted';

export function backendsOf(
  catalog: Catalog,
  route: Stored<RouteKind>,
  refs: readonly BackendRef[],
): Backend[] {
  return refs.map((ref) => {
    const key = refKey(ref, route.resource.metadata.namespace);
    const fault = backendFault(catalog, route, ref);
    const filters: readonly RouteFilter[] = filtersOf(ref.filters ?? []);
    if (fault !== undefined)
      return { weight: ref.weight, filters, target: { problem: faultText(fault, key, ref) } };
    return { weight: ref.weight, filters, target: { cluster: clusterName(refOf(key), ref.port ?? 0) } };
  });
}

/** What is wrong with a reference, or undefined. An ungranted one does not tell whether its Service is there. */
export function backendFault(
  catalog: Catalog,
  route: Stored<RouteKind>,
  ref: BackendRef,
): BackendFault | undefined {
  const key = refKey(ref, route.resource.metadata.namespace);
  if (!isGranted(catalog, route, refOf(key).namespace, ref.name)) return 'not_granted';
  const service = catalog.get('Service', key);
  if (service === undefined) return 'no_service';
  return service.resource.spec.ports.some((port) => port.port === ref.port) ? undefined : 'no_port';
}

/** References within a namespace need no grant. */
function isGranted(catalog: Catalog, route: Stored<RouteKind>, namespace: string, name: string): boolean {
  const { kind, metadata } = route.resource;
  if (namespace === metadata.namespace) return true;
  return catalog.list('ReferenceGrant', namespace).some(({ resource: { spec } }) => {
    const isFrom = spec.from.some((from) => from.kind === kind && from.namespace === metadata.namespace);
    return isFrom && spec.to.some((to) => to.name === undefined || to.name === name);
  });
}

/** The route itself is named by `RouteRule.route`. */
function faultText(fault: BackendFault, key: string, ref: BackendRef): string {
  if (fault === 'no_service') return `service ${key} does not exist`;
  if (fault === 'no_port') return `service ${key} has no port ${ref.port}`;
  return `service ${key} is in another namespace and no ReferenceGrant there admits this route`;
}
