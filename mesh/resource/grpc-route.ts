/** Which calls of a gRPC Service go where (Gateway API v1 `GRPCRoute`). */
import { type Static, Type } from 'typebox';
import { regexProblem } from './format.ts';
import { defineKind, gatewayVersions, type Path, type Report, refuseTwins } from './kind.ts';
import {
  checkBackends,
  checkFilters,
  checkHeaderMatches,
  grpcBackendRef,
  grpcFilter,
  headerMatch,
  hostnames,
  parentRefs,
} from './route-parts.ts';
import { closed, list, oneOf, text } from './schema.ts';

const methodMatch = closed({
  type: oneOf(['Exact', 'RegularExpression'], { default: 'Exact' }),
  service: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
  method: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
});

const match = closed({
  method: Type.Optional(methodMatch),
  headers: list(headerMatch, { maxItems: 16 }),
});

const rule = closed({
  name: Type.Optional(text('dns-name')),
  /** None: every call. */
  matches: list(match, { maxItems: 64 }),
  filters: list(grpcFilter, { maxItems: 16 }),
  backendRefs: list(grpcBackendRef, { maxItems: 16 }),
});

const schema = closed({
  parentRefs,
  hostnames,
  rules: list(rule, { default: [{}], minItems: 1 }),
});

export type GrpcRouteSpec = Static<typeof schema>;
export type GrpcMethodMatch = Static<typeof methodMatch>;
export type GrpcRouteRule = Static<typeof rule>;

export const grpcRoute = defineKind({
  name: 'GRPCRoute',
  apiVersions: gatewayVersions('v1'),
  schema,
  example: {
    parentRefs: [{ group: '', kind: 'Service', name: 'pricing' }],
    rules: [
      {
        name: 'quotes',
        matches: [
          { method: { type: 'Exact', service: 'shop.Pricing', method: 'Quote' } },
          { method: { type: 'RegularExpression', method: '(Watch|List).*' } },
          { headers: [{ type: 'Exact', name: 'tenant', value: 'blue' }] },
        ],
        filters: [
          {
            type: 'RequestHeaderModifier',
            requestHeaderModifier: { add: [{ name: 'x-route', value: 'a' }] },
          },
        ],
        backendRefs: [
          {
            name: 'pricing-v2',
            port: 9000,
            weight: 1,
            filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: ['x-a'] } }],
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

function checkRule(each: GrpcRouteRule, at: Path, report: Report): void {
  each.matches.forEach((one, index) => {
    const here = [...at, 'matches', index];
    if (one.method !== undefined) checkMethod(one.method, [...here, 'method'], report);
    checkHeaderMatches(one.headers, [...here, 'headers'], report);
  });
  checkFilters(each.filters, [...at, 'filters'], false, report);
  checkBackends(each.backendRefs, [...at, 'backendRefs'], report);
}

const nameShape = /^[A-Za-z_][A-Za-z0-9_.]*$/;

function checkMethod(method: GrpcMethodMatch, at: Path, report: Report): void {
  if (method.service === undefined && method.method === undefined) {
    report(at, "expected 'service', 'method' or both");
  }
  for (const field of ['service', 'method'] as const) {
    const value = method[field];
    if (value === undefined) continue;
    const problem =
      method.type === 'RegularExpression'
        ? regexProblem(value)
        : nameShape.test(value)
          ? undefined
          : 'expected a gRPC name: letters, digits, underscores and dots';
    if (problem !== undefined) report([...at, field], problem);
  }
}
