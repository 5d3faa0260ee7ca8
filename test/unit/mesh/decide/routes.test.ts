import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ParseFailure } from '../../../../kit/parse.ts';
import { compileRoutes, type RequestView } from '../../../../mesh/decide/routes.ts';
import type { RouteMatch, RouteRule } from '../../../../mesh/model.ts';

function rule(route: string, match: Partial<RouteMatch>): RouteRule {
  return {
    route,
    match: { path: undefined, method: undefined, headers: [], query: [], serverName: undefined, ...match },
    filters: [],
    backends: [],
    timeouts: { requestMs: undefined, backendRequestMs: undefined },
  };
}

function view(target: string, headers: Record<string, string> = {}): RequestView {
  const [method = 'GET', path = '/'] = target.split(' ');
  return { method, path, header: (name) => headers[name] };
}

const exact = (value: string) => ({ path: { kind: 'exact', value } }) as const;
const prefix = (value: string) => ({ path: { kind: 'prefix', value } }) as const;
const regex = (value: string) => ({ path: { kind: 'regex', value } }) as const;

/** Each row: rules in order, then requests with the name of the rule they meet. */
const cases: readonly {
  readonly name: string;
  readonly rules: readonly RouteRule[];
  readonly requests: readonly (readonly [string, string | undefined, Record<string, string>?])[];
}[] = [
  {
    name: 'a prefix is of whole path elements',
    rules: [rule('a', prefix('/abc'))],
    requests: [
      ['GET /abc', 'a'],
      ['GET /abc/', 'a'],
      ['GET /abc/def', 'a'],
      ['GET /abc?x=/y', 'a'],
      ['GET /abcd', undefined],
      ['GET /ab', undefined],
      ['GET /x/abc', undefined],
    ],
  },
  {
    name: 'a closing slash of a prefix changes nothing',
    rules: [rule('a', prefix('/abc/'))],
    requests: [
      ['GET /abc', 'a'],
      ['GET /abc/', 'a'],
      ['GET /abc/def', 'a'],
      ['GET /abcd', undefined],
    ],
  },
  {
    name: 'the prefix / and no path at all match everything',
    rules: [rule('post', { ...prefix('/'), method: 'POST' }), rule('any', {})],
    requests: [
      ['POST /x', 'post'],
      ['GET /', 'any'],
      ['OPTIONS *', 'any'],
      ['CONNECT ', 'any'],
    ],
  },
  {
    name: 'an exact path is the whole path without its query',
    rules: [rule('a', exact('/one')), rule('b', exact('/'))],
    requests: [
      ['GET /one', 'a'],
      ['GET /one?', 'a'],
      ['GET /one?two=/three', 'a'],
      ['GET /one/', undefined],
      ['GET /ONE', undefined],
      ['GET /', 'b'],
      ['GET /?x', 'b'],
    ],
  },
  {
    name: 'the order of the rules decides, whatever kind they are',
    rules: [
      rule('exact', exact('/a/b')),
      rule('long', prefix('/a/b')),
      rule('short', prefix('/a')),
      rule('rest', {}),
    ],
    requests: [
      ['GET /a/b', 'exact'],
      ['GET /a/b/c', 'long'],
      ['GET /a/c', 'short'],
      ['GET /c', 'rest'],
    ],
  },
  {
    name: 'a general rule that stands first wins',
    rules: [rule('rest', { method: 'GET' }), rule('short', prefix('/a')), rule('exact', exact('/a/b'))],
    requests: [
      ['GET /a/b', 'rest'],
      ['POST /a/b', 'short'],
    ],
  },
  {
    name: 'paths are compared as they are forwarded',
    rules: [rule('a', prefix('/a')), rule('b', exact('/a%2Fb'))],
    requests: [
      ['GET /%61', undefined],
      ['GET //a', undefined],
      ['GET /./a', undefined],
      ['GET /a//b', 'a'],
      ['GET /a%2Fb', 'b'],
      ['GET /a%2fb', undefined],
      ['GET /a/../b', 'a'],
    ],
  },
  {
    name: 'all conditions must hold',
    rules: [
      rule('both', {
        ...prefix('/'),
        headers: [
          { name: 'version', kind: 'exact', value: 'two' },
          { name: 'color', kind: 'exact', value: 'orange' },
        ],
      }),
      rule('one', { ...prefix('/'), headers: [{ name: 'version', kind: 'exact', value: 'two' }] }),
      rule('query', { ...prefix('/'), query: [{ name: 'animal', kind: 'exact', value: 'whale' }] }),
      rule('method', { ...prefix('/'), method: 'PATCH' }),
    ],
    requests: [
      ['GET /', 'both', { version: 'two', color: 'orange' }],
      ['GET /', 'one', { version: 'two', color: 'blue' }],
      ['GET /', undefined, { version: 'Two' }],
      ['GET /?animal=whale', 'query'],
      ['GET /?animal=dolphin&animal=whale', undefined],
      ['GET /?Animal=whale', undefined],
      ['PATCH /x', 'method'],
      ['patch /x', undefined],
    ],
  },
  {
    name: 'regular expressions match the whole value',
    rules: [
      rule('path', regex('/v[0-9]+/.*')),
      rule('header', { headers: [{ name: 'agent', kind: 'regex', value: '(curl|wget)/.*' }] }),
      rule('query', { query: [{ name: 'id', kind: 'regex', value: '[0-9]{2}' }] }),
    ],
    requests: [
      ['GET /v12/x?y', 'path'],
      ['GET /x/v12/x', undefined],
      ['GET /v/x', undefined],
      ['GET /', 'header', { agent: 'curl/8' }],
      ['GET /', undefined, { agent: 'x curl/8' }],
      ['GET /?id=42', 'query'],
      ['GET /?id=421', undefined],
    ],
  },
];

describe('compileRoutes', () => {
  for (const { name, rules, requests } of cases) {
    it(name, () => {
      const table = compileRoutes({ rules });
      for (const [target, expected, headers] of requests) {
        assert.equal(table.match(view(target, headers))?.route, expected, target);
      }
    });
  }

  it('names every expression that does not compile', () => {
    const bad = [
      rule('a', regex('/(')),
      rule('b', { headers: [{ name: 'x', kind: 'regex', value: '(a{0,500}){0,2}' }] }),
    ];
    assert.throws(
      () => compileRoutes({ rules: bad }, 'services["shop/orders"].ports[0]'),
      (thrown: unknown) => {
        assert.ok(thrown instanceof ParseFailure);
        assert.deepEqual(
          thrown.problems.map((problem) => problem.path),
          [
            'services["shop/orders"].ports[0].rules[0].match.path',
            'services["shop/orders"].ports[0].rules[1].match.headers[0]',
          ],
        );
        return true;
      },
    );
  });

  it('answers an expression that is exponential elsewhere', () => {
    const table = compileRoutes({ rules: [rule('a', regex('/(a+)+'))] });
    assert.equal(table.match(view(`GET /${'a'.repeat(4000)}!`)), undefined);
  });

  it('looks at few rules among many', () => {
    const rules = Array.from({ length: 10_000 }, (_, n) =>
      rule(`r${n}`, { ...(n % 2 === 0 ? exact : prefix)(`/s${n}/x`), headers: [always] }),
    );
    const table = compileRoutes({ rules });
    let asked = 0;
    const request = {
      method: 'GET',
      path: '/s4711/x/y',
      header: () => {
        asked++;
        return 'yes';
      },
    };
    assert.equal(table.match(request)?.route, 'r4711');
    assert.equal(asked, 1);
  });
});

const always = { name: 'x', kind: 'exact', value: 'yes' } as const;
