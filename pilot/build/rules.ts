/** Routes of all kinds → flat rules, one for each match, in the Gateway API's order of precedence. */
import type {
  Backend,
  PathMatch,
  RouteMatch,
  RouteRule,
  RouteTimeouts,
  ValueMatch,
} from '../../mesh/model.ts';
import { durationMs } from '../../mesh/resource/duration.ts';
import type { GrpcMethodMatch, GrpcRouteRule } from '../../mesh/resource/grpc-route.ts';
import type { HttpRouteMatch, HttpRouteRule } from '../../mesh/resource/http-route.ts';
import type { HeaderMatch } from '../../mesh/resource/route-parts.ts';
import { backendsOf } from './backends.ts';
import type { Catalog, RouteKind, Stored } from './catalog.ts';
import { filtersOf } from './filters.ts';

const noTimeouts: RouteTimeouts = { requestMs: undefined, backendRequestMs: undefined };
const matchAll: RouteMatch = {
  path: undefined,
  method: undefined,
  headers: [],
  query: [],
  serverName: undefined,
};

/** Every rule of `routes` (given oldest first), most specific first; ties keep the order of the routes. */
export function rulesOf(catalog: Catalog, routes: readonly Stored<RouteKind>[]): RouteRule[] {
  return routes.flatMap((route) => rulesOfRoute(catalog, route)).sort(bySpecificity);
}

/** The rule of a port to which no route is attached. */
export function defaultRule(service: string, cluster: string): RouteRule {
  return {
    route: `Service ${service}`,
    match: matchAll,
    filters: [],
    backends: [{ weight: 1, filters: [], target: { cluster } }],
    timeouts: noTimeouts,
  };
}

/** How logs and explanations call a rule: `HTTPRoute shop/orders #0`, with its name where it has one. */
export function ruleName(route: Stored<RouteKind>, index: number, name: string | undefined): string {
  return `${route.resource.kind} ${route.key} #${index}${name === undefined ? '' : ` (${name})`}`;
}

function rulesOfRoute(catalog: Catalog, route: Stored<RouteKind>): RouteRule[] {
  const isHttp = isKind(route, 'HTTPRoute');
  return route.resource.spec.rules.flatMap((rule, index): RouteRule[] => {
    const name = ruleName(route, index, rule.name);
    const filters = 'filters' in rule ? filtersOf(rule.filters) : [];
    const common = {
      route: name,
      filters,
      backends: backendsOrProblem(backendsOf(catalog, route, rule.backendRefs), filters),
      timeouts: isHttp ? timeoutsOf((rule as HttpRouteRule).timeouts) : noTimeouts,
    };
    return matchesOf(route, rule as never).map((match) => ({ ...common, match }));
  });
}

function isKind<K extends RouteKind>(route: Stored<RouteKind>, kind: K): route is Stored<K> {
  return route.resource.kind === kind;
}

/** A rule that neither redirects nor leads anywhere answers 500 (Gateway API). */
function backendsOrProblem(backends: Backend[], filters: RouteRule['filters']): Backend[] {
  if (backends.length > 0 || filters.some((filter) => filter.kind === 'redirect')) return backends;
  return [{ weight: 1, filters: [], target: { problem: 'the rule names no backend' } }];
}

function timeoutsOf(timeouts: HttpRouteRule['timeouts']): RouteTimeouts {
  const ms = (text: string | undefined) => (text === undefined ? undefined : durationMs(text));
  return { requestMs: ms(timeouts?.request), backendRequestMs: ms(timeouts?.backendRequest) };
}

function matchesOf(route: Stored<RouteKind>, rule: HttpRouteRule | GrpcRouteRule): RouteMatch[] {
  if (route.resource.kind === 'HTTPRoute') return (rule as HttpRouteRule).matches.map(httpMatch);
  if (route.resource.kind === 'TCPRoute') return [matchAll];
  if (isKind(route, 'TLSRoute')) {
    const { hostnames } = route.resource.spec;
    return hostnames.length === 0 ? [matchAll] : hostnames.map((serverName) => ({ ...matchAll, serverName }));
  }
  const { matches } = rule as GrpcRouteRule;
  if (matches.length === 0) return [matchAll];
  return matches.map((match) => ({
    ...matchAll,
    path: grpcPath(match.method),
    headers: headerMatches(match.headers),
  }));
}

const pathKinds = { Exact: 'exact', PathPrefix: 'prefix', RegularExpression: 'regex' } as const;

function httpMatch(match: HttpRouteMatch): RouteMatch {
  return {
    path: { kind: pathKinds[match.path.type], value: match.path.value },
    method: match.method,
    headers: headerMatches(match.headers),
    query: firstOfEachName(match.queryParams.map(valueMatch)),
    serverName: undefined,
  };
}

function headerMatches(headers: readonly HeaderMatch[]): ValueMatch[] {
  return firstOfEachName(headers.map((header) => valueMatch({ ...header, name: header.name.toLowerCase() })));
}

function valueMatch(match: HeaderMatch): ValueMatch {
  return { name: match.name, kind: match.type === 'Exact' ? 'exact' : 'regex', value: match.value };
}

/** Of several conditions on one name only the first counts (Gateway API). */
function firstOfEachName(matches: readonly ValueMatch[]): ValueMatch[] {
  return matches.filter((match, index) => matches.findIndex((other) => other.name === match.name) === index);
}

/** gRPC calls are requests for `/SERVICE/METHOD`. */
function grpcPath(match: GrpcMethodMatch | undefined): PathMatch | undefined {
  if (match === undefined) return undefined;
  const { type, service, method } = match;
  if (type === 'Exact' && service !== undefined) {
    return method === undefined
      ? { kind: 'prefix', value: `/${service}` }
      : { kind: 'exact', value: `/${service}/${method}` };
  }
  const part = (value: string | undefined) =>
    value === undefined ? '[^/]+' : type === 'Exact' ? value.replaceAll('.', '\\.') : `(?:${value})`;
  return { kind: 'regex', value: `/${part(service)}/${part(method)}` };
}

/** Exact, then expressions (the Gateway API leaves their place open), then the longest prefix. */
const pathRank = { exact: 0, regex: 1, prefix: 2 } as const;

function bySpecificity(a: RouteRule, b: RouteRule): number {
  const x = a.match;
  const y = b.match;
  return (
    nameRank(x.serverName) - nameRank(y.serverName) ||
    rankOf(x.path) - rankOf(y.path) ||
    prefixLength(y.path) - prefixLength(x.path) ||
    Number(y.method !== undefined) - Number(x.method !== undefined) ||
    y.headers.length - x.headers.length ||
    y.query.length - x.query.length
  );
}

/** Exact names, then the longest wildcard, then none. */
function nameRank(serverName: string | undefined): number {
  if (serverName === undefined) return 0;
  return serverName.startsWith('*.') ? -serverName.length : -1000;
}

function rankOf(path: PathMatch | undefined): number {
  return path === undefined ? pathRank.prefix : pathRank[path.kind];
}

/** A closing slash adds nothing to a prefix. */
function prefixLength(path: PathMatch | undefined): number {
  if (path?.kind !== 'prefix') return 0;
  return path.value.endsWith('/') ? path.value.length - 1 : path.value.length;
}
