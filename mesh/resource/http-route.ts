/** Which requests of a Service go where (Gateway API v1 `HTTPRoute`, inside the mesh as GAMMA has it). */
import { type Static, Type } from 'typebox';
import { durationMs } from './duration.ts';
import { regexProblem } from './format.ts';
import { defineKind, gatewayVersions, type Path, type Report, refuseTwins } from './kind.ts';
import {
  checkBackends,
  checkFilters,
  checkHeaderMatches,
  headerMatch,
  hostnames,
  httpBackendRef,
  httpFilter,
  parentRefs,
} from './route-parts.ts';
import { closed, list, oneOf, text } from './schema.ts';

const everything = { type: 'PathPrefix', value: '/' };

const pathMatch = closed(
  {
    type: oneOf(['Exact', 'PathPrefix', 'RegularExpression'], { default: 'PathPrefix' }),
    value: Type.String({ maxLength: 1024, default: '/' }),
  },
  { default: everything },
);

const queryMatch = closed({
  type: oneOf(['Exact', 'RegularExpression'], { default: 'Exact' }),
  name: text('token'),
  value: Type.String({ minLength: 1, maxLength: 1024 }),
});

const match = closed({
  path: pathMatch,
  headers: list(headerMatch, { maxItems: 16 }),
  queryParams: list(queryMatch, { maxItems: 16 }),
  method: Type.Optional(
    oneOf(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']),
  ),
});

const rule = closed({
  name: Type.Optional(text('dns-name')),
  matches: list(match, { default: [{ path: everything }], maxItems: 64 }),
  filters: list(httpFilter, { maxItems: 16 }),
  backendRefs: list(httpBackendRef, { maxItems: 16 }),
  timeouts: Type.Optional(
    closed({ request: Type.Optional(text('duration')), backendRequest: Type.Optional(text('duration')) }),
  ),
});

const schema = closed({
  parentRefs,
  hostnames,
  rules: list(rule, { default: [{}], minItems: 1 }),
});

export type HttpRouteSpec = Static<typeof schema>;
export type HttpRouteMatch = Static<typeof match>;
export type HttpRouteRule = Static<typeof rule>;

export const httpRoute = defineKind({
  name: 'HTTPRoute',
  apiVersions: gatewayVersions('v1'),
  schema,
  example: {
    parentRefs: [{ group: '', kind: 'Service', name: 'orders', port: 80 }],
    rules: [
      {
        name: 'beta',
        matches: [
          {
            path: { type: 'PathPrefix', value: '/api' },
            method: 'GET',
            headers: [{ type: 'Exact', name: 'x-beta', value: 'yes' }],
            queryParams: [{ type: 'RegularExpression', name: 'page', value: '[0-9]+' }],
          },
        ],
        filters: [
          {
            type: 'RequestHeaderModifier',
            requestHeaderModifier: { set: [{ name: 'x-route', value: 'beta' }] },
          },
          { type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: ['server'] } },
          {
            type: 'URLRewrite',
            urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v2' } },
          },
        ],
        backendRefs: [
          { name: 'orders-v1', port: 80, weight: 9 },
          { group: 'heddle', kind: 'Service', namespace: 'lab', name: 'orders-v2', port: 80, weight: 1 },
        ],
        timeouts: { request: '10s', backendRequest: '5s' },
      },
      {
        matches: [{ path: { type: 'Exact', value: '/old' } }],
        filters: [
          {
            type: 'RequestRedirect',
            requestRedirect: {
              scheme: 'https',
              hostname: 'example.org',
              port: 8443,
              path: { type: 'ReplaceFullPath', replaceFullPath: '/new' },
              statusCode: 301,
            },
          },
        ],
      },
    ],
  },
  check(spec, report) {
    refuseTwins(spec.rules, ['rules'], 'name', (each) => each.name, report);
    spec.rules.forEach((each, index) => {
      checkRule(each, ['rules', index], report);
    });
  },
});

function checkRule(each: HttpRouteRule, at: Path, report: Report): void {
  const hasPrefix = each.matches.every((one) => one.path.type === 'PathPrefix');
  each.matches.forEach((one, index) => {
    checkMatch(one, [...at, 'matches', index], report);
  });
  checkFilters(each.filters, [...at, 'filters'], hasPrefix, report);
  checkBackends(each.backendRefs, [...at, 'backendRefs'], report);
  const redirects = each.filters.some((filter) => filter.type === 'RequestRedirect');
  if (redirects && each.backendRefs.length > 0)
    report([...at, 'backendRefs'], 'a rule that redirects has no backends');
  const { request, backendRequest } = each.timeouts ?? {};
  const wholeMs = durationMs(request ?? '0s') ?? 0;
  if (wholeMs > 0 && (durationMs(backendRequest ?? '0s') ?? 0) > wholeMs) {
    report([...at, 'timeouts', 'backendRequest'], `${backendRequest} is longer than request ${request}`);
  }
}

function checkMatch(one: HttpRouteMatch, at: Path, report: Report): void {
  const problem = pathProblem(one.path.type, one.path.value);
  if (problem !== undefined) report([...at, 'path', 'value'], problem);
  checkHeaderMatches(one.headers, [...at, 'headers'], report);
  checkHeaderMatches(one.queryParams, [...at, 'queryParams'], report);
}

const pathShape = /^\/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*$/;
const unclearPath = /\/\/|\/\.{1,2}(?:\/|$)|%2f/i;

/** Gateway API: what a path may hold, so that no two servers read it differently. */
function pathProblem(type: string, value: string): string | undefined {
  if (type === 'RegularExpression') return regexProblem(value);
  if (!pathShape.test(value))
    return 'expected a path that begins with /, percent-encoded, without query or fragment';
  return unclearPath.test(value) ? 'a path to match holds no //, /./, /../ or encoded slash' : undefined;
}
