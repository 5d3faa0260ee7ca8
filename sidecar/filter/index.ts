/** The filters there are; a new one is a file here and a name in this list. */
import { registry } from '../../kit/registry.ts';
import type { PathMatch, RouteFilter } from '../../mesh/model.ts';
import type { Filter, FilterKind } from './filter.ts';
import { requestHeaders, responseHeaders } from './header-modifier.ts';
import { redirect } from './redirect.ts';
import { rewrite } from './rewrite.ts';

export const filterKinds = registry<{ readonly name: RouteFilter['kind'] }>('filter', [
  requestHeaders,
  responseHeaders,
  redirect,
  rewrite,
]);

/** The filters of one rule or backend, in order. The wire has refused kinds that are not in the list. */
export function configureFilters(settings: readonly RouteFilter[], match: PathMatch | undefined): Filter[] {
  return settings.map((one) => {
    const kind = filterKinds.get(one.kind) as FilterKind | undefined;
    if (kind === undefined) throw new Error(`no filter '${one.kind}'`);
    return kind.configure(one, match);
  });
}
