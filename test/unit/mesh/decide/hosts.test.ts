import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileHosts, namesNear, parseServiceName } from '../../../../mesh/decide/hosts.ts';

const orders = {
  service: { namespace: 'shop', name: 'orders' },
  ports: [
    { port: 5432, protocol: 'tcp' },
    { port: 8080, protocol: 'http' },
  ],
} as const;
const ledger = {
  service: { namespace: 'bank', name: 'ledger' },
  ports: [
    { port: 9000, protocol: 'grpc' },
    { port: 80, protocol: 'http' },
  ],
} as const;
const hosts = compileHosts([orders, ledger], { namespace: 'shop', ownPort: 15001 });

function found(authority: string): string | undefined {
  const target = hosts.find(authority);
  return target === undefined ? undefined : `${target.key}:${target.port}`;
}

describe('compileHosts', () => {
  it('knows a service of the own namespace by all its names', () => {
    for (const name of [
      'orders',
      'orders.shop',
      'orders.shop.mesh',
      'orders.localhost',
      'orders.shop.localhost',
    ]) {
      assert.equal(found(name), 'shop/orders:8080', name);
      assert.equal(found(`${name}:8080`), 'shop/orders:8080', name);
      assert.equal(found(`${name}:5432`), 'shop/orders:5432', name);
      assert.equal(found(`${name}:15001`), 'shop/orders:8080', name);
      assert.equal(found(`${name}:81`), undefined, name);
    }
  });

  it('wants the namespace of another one', () => {
    assert.equal(found('ledger'), undefined);
    assert.equal(found('ledger.localhost'), undefined);
    assert.equal(found('ledger.bank'), 'bank/ledger:80');
    assert.equal(found('ledger.bank.mesh:9000'), 'bank/ledger:9000');
  });

  it('prefers port 80 where several speak HTTP, and the first where none does', () => {
    assert.equal(found('ledger.bank'), 'bank/ledger:80');
    const raw = {
      service: { namespace: 'shop', name: 'db' },
      ports: [{ port: 1, protocol: 'tcp' }],
    } as const;
    assert.equal(compileHosts([raw], { namespace: 'shop', ownPort: undefined }).find('db')?.port, 1);
  });
});

describe('parseServiceName', () => {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['orders', 'shop/orders:-'],
    ['orders:8080', 'shop/orders:8080'],
    ['orders.bank', 'bank/orders:-'],
    ['orders.bank.mesh:1', 'bank/orders:1'],
    ['orders.localhost', 'shop/orders:-'],
    ['orders.bank.localhost', 'bank/orders:-'],
    ['localhost', undefined],
    ['localhost:15001', undefined],
    ['127.0.0.1:80', undefined],
    ['[::1]:80', undefined],
    ['example.org.net', undefined],
    ['a.b.c.mesh', undefined],
    ['a_b', undefined],
    ['', undefined],
  ];
  for (const [authority, expected] of rows) {
    it(`takes '${authority}' for ${expected}`, () => {
      const name = parseServiceName(authority, 'shop');
      const shown = name && `${name.service.namespace}/${name.service.name}:${name.port ?? '-'}`;
      assert.equal(shown, expected);
    });
  }
});

describe('namesNear', () => {
  const known = [orders.service, ledger.service, { namespace: 'bank', name: 'orders' }];
  it('offers what was misspelt, in the form the caller would use', () => {
    assert.deepEqual(namesNear('order', known, 'shop'), ['orders', 'orders.bank']);
    assert.deepEqual(namesNear('legder.bank', known, 'shop'), ['ledger.bank']);
  });
  it('offers the same name in another namespace', () => {
    assert.deepEqual(namesNear('ledger', known, 'shop'), ['ledger.bank']);
  });
  it('offers nothing for what is like nothing', () => {
    assert.deepEqual(namesNear('zzzzzz', known, 'shop'), []);
    assert.deepEqual(namesNear('10.0.0.1', known, 'shop'), []);
  });
});
