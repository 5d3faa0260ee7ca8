import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changedPath, redirectLocation } from '../../../../mesh/decide/rewrite.ts';
import type { Redirect } from '../../../../mesh/model.ts';

describe('changedPath', () => {
  /** The table of the Gateway API, and the cases beside it. */
  const rows: readonly (readonly [string, string, string, string])[] = [
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/foo?a=/foo', '/foo', '/xyz', '/xyz?a=/foo'],
    ['/bar', '/', '/xyz', '/xyz/bar'],
    ['/', '/', '/xyz', '/xyz/'],
    ['/foo//bar', '/foo', '/x', '/x//bar'],
  ];
  for (const [path, prefix, value, expected] of rows) {
    it(`makes ${expected} of ${path}, ${prefix} and '${value}'`, () => {
      assert.equal(changedPath(path, { kind: 'prefix', value }, { kind: 'prefix', value: prefix }), expected);
    });
  }

  it('replaces the whole path and keeps the query', () => {
    assert.equal(changedPath('/a/b?c=d', { kind: 'full', value: '/z' }, undefined), '/z?c=d');
  });
});

describe('redirectLocation', () => {
  const none: Redirect = {
    scheme: undefined,
    hostname: undefined,
    port: undefined,
    path: undefined,
    status: 302,
  };
  const rows: readonly (readonly [string, Partial<Redirect>, string])[] = [
    ['orders:8080', { hostname: 'example.org' }, 'http://example.org:8080/a?b'],
    ['orders', { hostname: 'example.org' }, 'http://example.org/a?b'],
    ['orders:8080', { scheme: 'https' }, 'https://orders/a?b'],
    ['orders:8080', { scheme: 'http' }, 'http://orders/a?b'],
    ['orders', { port: 80 }, 'http://orders/a?b'],
    ['orders', { port: 8443, scheme: 'https' }, 'https://orders:8443/a?b'],
    ['orders', { port: 443, scheme: 'https' }, 'https://orders/a?b'],
    ['orders', { port: 443 }, 'http://orders:443/a?b'],
    ['[::1]:81', {}, 'http://[::1]:81/a?b'],
    ['[::1]', { port: 81 }, 'http://[::1]:81/a?b'],
    ['orders', { path: { kind: 'full', value: '/new' } }, 'http://orders/new?b'],
    ['orders', { path: { kind: 'prefix', value: '/new' } }, 'http://orders/new?b'],
  ];
  for (const [authority, change, expected] of rows) {
    it(`answers ${expected} to ${authority} with ${JSON.stringify(change)}`, () => {
      const source = { scheme: 'http', authority, path: '/a?b' } as const;
      const location = redirectLocation(source, { ...none, ...change }, { kind: 'prefix', value: '/a' });
      assert.equal(location, expected);
    });
  }
});
