/** A route's filters as resources have them → as sidecars run them. */
import type { HeaderChange, PathChange, RouteFilter } from '../../mesh/model.ts';
import type { HeaderFilter, HttpFilter, PathModifier } from '../../mesh/resource/route-parts.ts';

export function filtersOf(filters: readonly HttpFilter[]): RouteFilter[] {
  return filters.flatMap((filter): RouteFilter[] => {
    const { requestHeaderModifier, responseHeaderModifier, requestRedirect, urlRewrite } = filter;
    if (requestHeaderModifier !== undefined) {
      return [{ kind: 'request_headers', ...headerChange(requestHeaderModifier) }];
    }
    if (responseHeaderModifier !== undefined) {
      return [{ kind: 'response_headers', ...headerChange(responseHeaderModifier) }];
    }
    if (requestRedirect !== undefined) {
      const { scheme, hostname, port, path, statusCode } = requestRedirect;
      return [{ kind: 'redirect', scheme, hostname, port, path: pathChange(path), status: statusCode }];
    }
    if (urlRewrite !== undefined) {
      return [{ kind: 'rewrite', hostname: urlRewrite.hostname, path: pathChange(urlRewrite.path) }];
    }
    return [];
  });
}

function headerChange(filter: HeaderFilter): HeaderChange {
  const lower = (values: HeaderFilter['set']) =>
    values.map(({ name, value }) => ({ name: name.toLowerCase(), value }));
  return {
    set: lower(filter.set),
    add: lower(filter.add),
    remove: filter.remove.map((name) => name.toLowerCase()),
  };
}

function pathChange(path: PathModifier | undefined): PathChange | undefined {
  if (path === undefined) return undefined;
  return path.type === 'ReplaceFullPath'
    ? { kind: 'full', value: path.replaceFullPath ?? '/' }
    : { kind: 'prefix', value: path.replacePrefixMatch ?? '/' };
}
