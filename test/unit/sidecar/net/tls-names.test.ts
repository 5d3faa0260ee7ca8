import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseServerName, serverNameOf } from '../../../../sidecar/net/tls-names.ts';

describe('server names', () => {
  it('name the port of a service', () => {
    const service = { namespace: 'shop', name: 'orders' };
    assert.equal(serverNameOf(service, 8080), '8080.orders.shop.mesh');
    assert.deepEqual(parseServerName('8080.orders.shop.mesh'), { port: 8080, service });
  });

  for (const text of [
    '',
    'orders.shop.mesh',
    '0.orders.shop.mesh',
    '65536.orders.shop.mesh',
    '080.orders.shop.mesh',
    '80.orders.shop.mesh.',
    '80.orders.shop.mesh\0',
    '80.Orders.shop.mesh',
    '80..shop.mesh',
    '10.0.0.1',
    `80.${'a'.repeat(250)}.shop.mesh`,
  ]) {
    it(`have another form than ${JSON.stringify(text.slice(0, 30))}`, () => {
      assert.equal(parseServerName(text), undefined);
    });
  }
});
