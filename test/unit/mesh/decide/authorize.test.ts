import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AccessRequest, compileAuthorization } from '../../../../mesh/decide/authorize.ts';
import type { AuthorizationPolicy, AuthorizationRule } from '../../../../mesh/model.ts';

const web = 'spiffe://mesh.local/ns/shop/sa/web';

function policy(
  name: string,
  action: 'allow' | 'deny',
  ...rules: Partial<AuthorizationRule>[]
): AuthorizationPolicy {
  const empty = { principals: [], namespaces: [], methods: [], paths: [], ports: [] };
  return { name, action, rules: rules.map((rule) => ({ ...empty, ...rule })) };
}

function request(change: Partial<AccessRequest> = {}): AccessRequest {
  return { principal: web, namespace: 'shop', method: 'GET', path: '/orders?x=1', port: 8080, ...change };
}

const under = (value: string) => [{ kind: 'prefix', value } as const];
const exactly = (value: string) => [{ kind: 'exact', value } as const];

describe('compileAuthorization', () => {
  it('allows everything where no policy applies', () => {
    const authorization = compileAuthorization([]);
    assert.equal(authorization.isEmpty, true);
    assert.equal(authorization.check(request({ principal: undefined })).allowed, true);
  });

  it('allows what no deny matches where there is only deny', () => {
    const authorization = compileAuthorization([policy('shop/d', 'deny', { methods: ['DELETE'] })]);
    assert.equal(authorization.check(request()).allowed, true);
    assert.deepEqual(authorization.check(request({ method: 'DELETE' })), {
      allowed: false,
      policy: 'shop/d',
      rule: 0,
    });
  });

  it('needs a matching allow as soon as there is one', () => {
    const authorization = compileAuthorization([
      policy(
        'shop/a',
        'allow',
        { principals: ['spiffe://mesh.local/ns/shop/sa/other'] },
        { methods: ['GET'] },
      ),
    ]);
    assert.deepEqual(authorization.check(request()), { allowed: true, policy: 'shop/a', rule: 1 });
    assert.deepEqual(authorization.check(request({ method: 'PUT' })), {
      allowed: false,
      policy: undefined,
      rule: -1,
    });
  });

  it('lets deny win over allow', () => {
    const authorization = compileAuthorization([
      policy('shop/a', 'allow', {}),
      policy('shop/d', 'deny', { paths: under('/admin') }),
    ]);
    assert.equal(authorization.check(request()).allowed, true);
    assert.equal(authorization.check(request({ path: '/admin/x' })).policy, 'shop/d');
  });

  it('takes an allow without rules for nobody and a deny without rules for nothing', () => {
    assert.equal(compileAuthorization([policy('shop/a', 'allow')]).check(request()).allowed, false);
    assert.equal(compileAuthorization([policy('shop/d', 'deny')]).check(request()).allowed, true);
  });

  it('takes an empty rule for everything', () => {
    assert.equal(compileAuthorization([policy('shop/a', 'allow', {})]).check(request()).allowed, true);
    assert.equal(compileAuthorization([policy('shop/d', 'deny', {})]).check(request()).allowed, false);
  });

  it('admits any verified identity by a star, and no caller without one', () => {
    const authorization = compileAuthorization([policy('shop/a', 'allow', { principals: ['*'] })]);
    assert.equal(authorization.check(request()).allowed, true);
    assert.equal(authorization.check(request({ principal: undefined, namespace: undefined })).allowed, false);
  });

  it('wants every kind of condition of a rule to hold', () => {
    const authorization = compileAuthorization([
      policy('shop/a', 'allow', {
        principals: [web],
        namespaces: ['shop'],
        methods: ['GET', 'HEAD'],
        paths: [...exactly('/orders'), ...under('/items/')],
        ports: [8080],
      }),
    ]);
    assert.equal(authorization.check(request()).allowed, true);
    assert.equal(authorization.check(request({ path: '/items/7' })).allowed, true);
    for (const change of [
      { principal: 'spiffe://mesh.local/ns/shop/sa/webs' },
      { namespace: 'bank' },
      { method: 'POST' },
      { path: '/orders/' },
      { path: '/items' },
      { port: 9090 },
    ]) {
      assert.equal(authorization.check(request(change)).allowed, false, JSON.stringify(change));
    }
  });

  it('denies a path in whatever way it is written', () => {
    const authorization = compileAuthorization([policy('shop/d', 'deny', { paths: under('/admin') })]);
    for (const path of [
      '/%61dmin',
      '//admin',
      '/./admin',
      '/x/../admin',
      '/x/%2e%2e/admin',
      '\\admin',
      '/admin',
    ]) {
      assert.equal(authorization.check(request({ path })).allowed, false, path);
    }
  });

  it('allows a path only if it stays below the prefix once resolved', () => {
    const authorization = compileAuthorization([policy('shop/a', 'allow', { paths: under('/public/') })]);
    assert.equal(authorization.check(request({ path: '/public/a%20b' })).allowed, true);
    for (const path of [
      '/public/../admin',
      '/public/%2e%2e/admin',
      '/public/..%2fadmin',
      '/public\\..\\..\\admin',
    ]) {
      assert.equal(authorization.check(request({ path })).allowed, false, path);
    }
  });

  it('neither allows opaque bytes by an HTTP condition nor lets them past a denial with one', () => {
    const opaque = request({ method: undefined, path: undefined });
    const allow = compileAuthorization([policy('shop/a', 'allow', { methods: ['GET'] })]);
    const deny = compileAuthorization([policy('shop/d', 'deny', { ports: [8080], paths: under('/admin') })]);
    assert.equal(allow.check(opaque).allowed, false);
    assert.equal(deny.check(opaque).allowed, false);
    assert.equal(deny.check({ ...opaque, port: 1 }).allowed, true);
  });
});
