/** Compiled authorization answers like the definition read aloud, on paths that have one form only. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type AccessRequest, compileAuthorization } from '../../mesh/decide/authorize.ts';
import type { AuthorizationPolicy, AuthorizationRule } from '../../mesh/model.ts';

const principal = fc.constantFrom('spiffe://m/ns/a/sa/x', 'spiffe://m/ns/b/sa/y');
const path = fc.constantFrom('/', '/a', '/a/b', '/ab', '/b');
const rule: fc.Arbitrary<AuthorizationRule> = fc.record({
  principals: fc.array(fc.oneof(principal, fc.constant('*')), { maxLength: 2 }),
  namespaces: fc.array(fc.constantFrom('a', 'b'), { maxLength: 1 }),
  methods: fc.array(fc.constantFrom('GET', 'PUT'), { maxLength: 1 }),
  paths: fc.array(fc.record({ kind: fc.constantFrom('exact', 'prefix'), value: path }), { maxLength: 2 }),
  ports: fc.array(fc.constantFrom(1, 2), { maxLength: 1 }),
});
const policies: fc.Arbitrary<AuthorizationPolicy[]> = fc.array(
  fc.record({
    name: fc.constantFrom('a/p', 'a/q'),
    action: fc.constantFrom('allow', 'deny'),
    rules: fc.array(rule, { maxLength: 3 }),
  }),
  { maxLength: 4 },
);
const request: fc.Arbitrary<AccessRequest> = fc
  .record({
    principal: fc.option(principal, { nil: undefined }),
    method: fc.option(fc.constantFrom('GET', 'PUT'), { nil: undefined, freq: 6 }),
    path: fc.tuple(path, fc.constantFrom('', '?q=/a')).map(([bare, query]) => bare + query),
    port: fc.constantFrom(1, 2),
  })
  .map((one) => ({
    ...one,
    namespace: one.principal?.split('/')[4],
    path: one.method === undefined ? undefined : one.path,
  }));

describe('compiled authorization', () => {
  it('agrees with the definition', () => {
    fc.assert(
      fc.property(policies, request, (all, one) => {
        assert.equal(compileAuthorization(all).check(one).allowed, defined(all, one));
      }),
      { numRuns: 3000 },
    );
  });
});

function defined(all: readonly AuthorizationPolicy[], one: AccessRequest): boolean {
  const matches = (policy: AuthorizationPolicy) =>
    policy.rules.some((each) => fits(each, one, policy.action === 'deny'));
  if (all.some((policy) => policy.action === 'deny' && matches(policy))) return false;
  const allows = all.filter((policy) => policy.action === 'allow');
  return allows.length === 0 || allows.some(matches);
}

function fits(each: AuthorizationRule, one: AccessRequest, isDeny: boolean): boolean {
  const bare = one.path?.split('?')[0];
  const http =
    one.method === undefined || bare === undefined
      ? isDeny || each.methods.length + each.paths.length === 0
      : among(each.methods, one.method) &&
        (each.paths.length === 0 ||
          each.paths.some((p) => (p.kind === 'exact' ? bare === p.value : bare.startsWith(p.value))));
  const caller = each.principals.includes('*')
    ? one.principal !== undefined
    : among(each.principals, one.principal);
  return http && caller && among(each.namespaces, one.namespace) && among(each.ports, one.port);
}

function among<T>(values: readonly T[], value: T | undefined): boolean {
  return values.length === 0 || (value !== undefined && values.includes(value));
}
