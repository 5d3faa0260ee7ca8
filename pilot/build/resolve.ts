/** What `Config.Resolve(name)` answers: the Service that an application named, or those it may have meant. */
import { namesNear, parseServiceName } from '../../mesh/decide/hosts.ts';
import { type ServiceRef, serviceKey } from '../../mesh/model.ts';
import type { World } from '../world/world.ts';
import { catalogOf, refOf } from './catalog.ts';

export type Resolution =
  | { readonly service: ServiceRef }
  | { readonly service: undefined; readonly suggestions: readonly string[] };

/** `name` is a host with or without port, as a caller in `namespace` wrote it. */
export function resolve(world: World, name: string, namespace: string): Resolution {
  const catalog = catalogOf(world);
  const service = parseServiceName(name, namespace)?.service;
  if (service !== undefined && catalog.get('Service', serviceKey(service)) !== undefined) return { service };
  const known = catalog.all('Service').map((stored) => refOf(stored.key));
  return { service: undefined, suggestions: namesNear(name, known, namespace) };
}
