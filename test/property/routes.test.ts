/** The compiled matcher answers like one that tries every rule in order by the text of the specification. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileRoutes, type RequestView } from '../../mesh/decide/routes.ts';
import type { PathMatch, RouteMatch, RouteRule, ValueMatch } from '../../mesh/model.ts';

const segment = fc.constantFrom('a', 'b', 'ab', 'abc', '%61', '.', '..', '');
const path = fc.array(segment, { maxLength: 4 }).map((segments) => `/${segments.join('/')}`);
const target = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(path, fc.constantFrom('', '?', '?a=1', '?b=2&a=1', '?a', '?x=/a/b')) },
  { weight: 1, arbitrary: fc.constantFrom(['*', ''] as const, ['', ''] as const) },
);
const pathMatch: fc.Arbitrary<PathMatch | undefined> = fc.option(
  fc.record({ kind: fc.constantFrom('exact', 'prefix'), value: path }),
  { nil: undefined, freq: 6 },
);
const values = (names: readonly string[]): fc.Arbitrary<ValueMatch[]> =>
  fc.uniqueArray(
    fc.record({
      name: fc.constantFrom(...names),
      kind: fc.constant('exact' as const),
      value: fc.constantFrom('1', '2', ''),
    }),
    { maxLength: 2, selector: (one) => one.name },
  );
const match: fc.Arbitrary<RouteMatch> = fc.record({
  path: pathMatch,
  method: fc.option(fc.constantFrom('GET', 'POST'), { nil: undefined, freq: 2 }),
  headers: values(['h', 'i']),
  query: values(['a', 'b']),
  serverName: fc.constant(undefined),
});
const rules = fc.array(match, { maxLength: 12 }).map((matches) => matches.map(asRule));
const request = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  target,
  headers: fc.dictionary(fc.constantFrom('h', 'i'), fc.constantFrom('1', '2')),
});

describe('compiled routes', () => {
  it('agree with the naive matcher', () => {
    fc.assert(
      fc.property(rules, fc.array(request, { minLength: 1, maxLength: 8 }), (ordered, requests) => {
        const table = compileRoutes({ rules: ordered });
        for (const {
          method,
          target: [bare, query],
          headers,
        } of requests) {
          const view: RequestView = { method, path: bare + query, header: (name) => headers[name] };
          const expected = ordered.find((one) => naive(one.match, method, bare, query, headers));
          assert.equal(table.match(view), expected);
        }
      }),
      { numRuns: 1500 },
    );
  });
});

function asRule(one: RouteMatch, index: number): RouteRule {
  return {
    route: String(index),
    match: one,
    filters: [],
    backends: [],
    timeouts: { requestMs: undefined, backendRequestMs: undefined },
  };
}

function naive(
  one: RouteMatch,
  method: string,
  bare: string,
  query: string,
  headers: Readonly<Record<string, string>>,
): boolean {
  const parameters = new URLSearchParams(query);
  return (
    naivePath(one.path, bare) &&
    (one.method === undefined || one.method === method) &&
    one.headers.every((header) => headers[header.name] === header.value) &&
    one.query.every((parameter) => parameters.get(parameter.name) === parameter.value)
  );
}

function naivePath(wanted: PathMatch | undefined, bare: string): boolean {
  if (wanted === undefined) return true;
  if (wanted.kind === 'exact') return bare === wanted.value;
  if (wanted.value === '/') return true;
  const prefix = wanted.value.endsWith('/') ? wanted.value.slice(0, -1) : wanted.value;
  return bare === prefix || bare.startsWith(`${prefix}/`);
}
