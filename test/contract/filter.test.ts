/** What every filter keeps, looped over the registry; each has a case here, or the suite fails. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PathMatch, RouteFilter } from '../../mesh/model.ts';
import { Field } from '../../sidecar/codec/field.ts';
import { configureFilters, filterKinds } from '../../sidecar/filter/index.ts';
import { requestHead, responseHead } from '../support/fake-codec.ts';

interface Case {
  readonly settings: RouteFilter;
  readonly match: PathMatch | undefined;
  /** What a request to `/old/a?q=1` of `orders` becomes: `METHOD AUTHORITY PATH [fields]`, or a reply. */
  readonly request: string;
  /** The response's fields after it, where it changes them. */
  readonly response?: string;
}

const change = {
  set: [{ name: 'x-set', value: 'new' }],
  add: [{ name: 'x-add', value: 'more' }],
  remove: ['x-gone'],
};
const prefix: PathMatch = { kind: 'prefix', value: '/old' };

const cases: Record<RouteFilter['kind'], Case> = {
  request_headers: {
    settings: { kind: 'request_headers', ...change },
    match: undefined,
    request: 'GET orders /old/a?q=1 [x-set: new, x-add: one, x-add: more]',
  },
  response_headers: {
    settings: { kind: 'response_headers', ...change },
    match: undefined,
    request: 'GET orders /old/a?q=1 [x-set: old, x-add: one, x-gone: 1]',
    response: 'x-set: new, x-add: one, x-add: more',
  },
  redirect: {
    settings: {
      kind: 'redirect',
      scheme: 'https',
      hostname: 'shop.example',
      port: undefined,
      path: { kind: 'prefix', value: '/new' },
      status: 308,
    },
    match: prefix,
    request: '308 https://shop.example/new/a?q=1',
  },
  rewrite: {
    settings: { kind: 'rewrite', hostname: 'internal', path: { kind: 'prefix', value: '/new' } },
    match: prefix,
    request: 'GET internal /new/a?q=1 [x-set: old, x-add: one, x-gone: 1]',
  },
};

const fields = () => [new Field('x-set', 'old'), new Field('x-add', 'one'), new Field('x-gone', '1')];
const lines = (list: readonly Field[]) => list.map((field) => field.line.trim()).join(', ');

describe('filters', () => {
  for (const name of filterKinds.keys()) {
    const { settings, match, request, response } = cases[name as RouteFilter['kind']];

    it(`${name} does to a request and a response what its settings say`, () => {
      const [filter] = configureFilters([settings], match);
      const head = requestHead({ path: '/old/a?q=1', fields: fields() });
      const reply = filter?.onRequest?.(head);
      const seen =
        reply === undefined
          ? `${head.method} ${head.authority} ${head.path} [${lines(head.fields)}]`
          : `${reply.status} ${reply.fields[0]?.value}`;
      assert.equal(seen, request);
      const answer = { ...responseHead(200), fields: fields() };
      filter?.onResponse?.(answer);
      assert.equal(lines(answer.fields), response ?? lines(fields()));
    });

    it(`${name} keeps nothing from one request to the next`, () => {
      const [filter] = configureFilters([settings], match);
      const run = () => {
        const head = requestHead({ path: '/old/a?q=1', fields: fields() });
        const reply = filter?.onRequest?.(head);
        return [head.authority, head.path, lines(head.fields), reply?.fields[0]?.value];
      };
      assert.deepEqual(run(), run());
    });
  }
});
