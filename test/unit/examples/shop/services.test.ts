/** The shop's services without any mesh: they call each other straight, by the addresses they are given. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import {
  createCatalogueServer,
  openCatalogue,
} from '../../../../examples/shop/services/catalogue/catalogue.ts';
import { createOrderServer, openOrderBook } from '../../../../examples/shop/services/orders/orders.ts';
import {
  createPricingServer,
  type PricingVersion,
  priceOf,
} from '../../../../examples/shop/services/pricing/pricing.ts';
import { createPricingClient, type QuoteReply } from '../../../../examples/shop/services/pricing/protocol.ts';
import {
  createCountsServer,
  startVisitors,
  whenOpen,
} from '../../../../examples/shop/services/visitors/visitors.ts';
import { createWebServer } from '../../../../examples/shop/services/web/web.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

guardLeaks();

const csv = join(import.meta.dirname, '../../../../examples/shop/services/catalogue/products.csv');

describe('the catalogue', () => {
  it('holds a few hundred products and finds them by words and by SKU', async (t) => {
    const url = await startCatalogue(t);
    assert.equal((await getJson(`${url}/health`)).body.products, 312);
    const found = await getJson(`${url}/products?search=indigo&limit=3`);
    assert.deepEqual(
      found.body.products.map((product: { sku: string }) => product.sku),
      ['ALPACA-INDIGO-200', 'ALPACA-INDIGO-50', 'BAMBOO-INDIGO-200'],
    );
    const one = await getJson(`${url}/products/SILK-OAKGALL-50`);
    assert.equal(one.body.product.name, 'Mulberry silk, oak gall, 50 g');
    assert.equal(one.body.product.grams, 50);
  });

  it('tells what it does not have', async (t) => {
    const url = await startCatalogue(t);
    assert.equal((await getJson(`${url}/products/NONE`)).status, 404);
    assert.equal((await getJson(`${url}/products?limit=many`)).status, 400);
    assert.equal((await getJson(`${url}/products`, { method: 'DELETE' })).status, 405);
  });
});

describe('pricing', () => {
  it('gives a tenth off from five pieces in v2 only', () => {
    assert.equal(priceOf('v1', 'WOOL-INDIGO-50', 5), 3_500);
    assert.equal(priceOf('v2', 'WOOL-INDIGO-50', 5), 3_150);
    assert.equal(priceOf('v2', 'WOOL-INDIGO-50', 4), 2_800);
    assert.equal(priceOf('v1', 'GOLD-INDIGO-50', 1), undefined);
  });

  it('answers a unary call, and NOT_FOUND for what is not sold', async (t) => {
    const client = pricingClient(t, await startPricing(t, 'v2'));
    const { totalCents, version } = await client.quote('LINEN-WELD-200', 10);
    assert.deepEqual([totalCents, version], [16_200, 'v2']);
    await assert.rejects(client.quote('NONE', 1), { code: status.NOT_FOUND, details: "no price for 'NONE'" });
  });

  it('streams prices until the count is reached', async (t) => {
    const client = pricingClient(t, await startPricing(t, 'v1'));
    const replies: QuoteReply[] = [];
    for await (const reply of client.watch({ sku: 'JUTE-SEA-50', count: 3, intervalMs: 10 }))
      replies.push(reply);
    assert.deepEqual(
      replies.map((reply) => reply.totalCents),
      [150, 150, 150],
    );
  });

  it('ends a stream for what is not sold with its status', async (t) => {
    const client = pricingClient(t, await startPricing(t, 'v1'));
    const stream = client.watch({ sku: 'NONE', count: 1, intervalMs: 10 });
    stream.resume();
    const [failure] = await once(stream, 'error');
    assert.equal(failure.code, status.NOT_FOUND);
  });
});

describe('orders', () => {
  it('writes an order down with what pricing asked for it', async (t) => {
    const { orders } = await startShop(t);
    const placed = await post(`${orders}/orders`, { sku: 'WOOL-INDIGO-50', quantity: 2 });
    assert.equal(placed.status, 200);
    assert.equal(placed.body.order.totalCents, 1_400);
    assert.deepEqual((await getJson(`${orders}/orders/${placed.body.order.id}`)).body, placed.body);
    assert.equal((await getJson(`${orders}/orders`)).body.count, 1);
  });

  it('refuses what it cannot read, what is not sold and what is not there', async (t) => {
    const { orders } = await startShop(t);
    assert.equal((await post(`${orders}/orders`, { sku: 7 })).status, 400);
    assert.equal((await post(`${orders}/orders`, { sku: 'NONE' })).status, 404);
    assert.equal((await post(`${orders}/orders`, { sku: 'WOOL-INDIGO-50', quantity: 999 })).status, 409);
    assert.equal((await getJson(`${orders}/orders/5`)).status, 404);
  });

  it('keeps orders over a restart', (t) => {
    const file = join(tempFolder(t), 'orders.db');
    const first = openOrderBook(file);
    first.add({ sku: 'a', quantity: 1, totalCents: 2, pricing: 'v1', at: 'now' });
    first.close();
    const second = openOrderBook(file);
    assert.equal(second.find(1)?.sku, 'a');
    second.close();
  });
});

describe('the front', () => {
  it('shows products with their prices, for people and for programs', async (t) => {
    const { web } = await startShop(t);
    const { body } = await getJson(`${web}/api/offers?search=silk`);
    assert.equal(body.offers.length, 5);
    assert.equal(body.offers[0].pricedBy, 'v1');
    const page = await (await fetch(web)).text();
    assert.match(page, /<td>Baby alpaca, indigo, 200 g<\/td><td>44\.00<\/td>/);
  });

  it('passes orders on, refusals included', async (t) => {
    const { web } = await startShop(t);
    assert.equal((await post(`${web}/api/orders`, { sku: 'JUTE-SEA-50' })).body.order.id, 1);
    assert.equal((await getJson(`${web}/api/orders`)).body.count, 1);
    assert.equal((await post(`${web}/api/orders`, { sku: 'NONE' })).status, 404);
  });

  it('turns the stream of prices into events', async (t) => {
    const { web } = await startShop(t);
    const leave = new AbortController();
    const response = await fetch(`${web}/api/prices/JUTE-SEA-50`, { signal: leave.signal });
    const first = await response.body?.getReader().read();
    assert.match(new TextDecoder().decode(first?.value), /^data: \{"sku":"JUTE-SEA-50"/);
    leave.abort();
  });

  it('answers 502 with the reason where the catalogue is gone', async (t) => {
    const pricing = pricingClient(t, '127.0.0.1:1');
    const web = await listen(
      t,
      createWebServer({ catalogueUrl: 'http://127.0.0.1:1', ordersUrl: 'http://127.0.0.1:1', pricing }),
    );
    const { status: code, body } = await getJson(`${web}/api/offers`);
    assert.equal(code, 502);
    assert.notEqual(body.error, '');
  });
});

describe('the visitors', () => {
  it('browse and order, and count what happened', async (t) => {
    const { web } = await startShop(t);
    await whenOpen(web);
    const visitors = startVisitors(web, 100);
    defer(t, visitors.stop);
    const counts = await listen(
      t,
      createCountsServer(() => visitors.counts),
    );
    await eventually(async () => (await getJson(`${counts}/counts`)).body.requests >= 12, {
      what: '12 visits',
    });
    visitors.stop();
    assert.equal(visitors.counts.failures, 0, `${visitors.counts.lastFailure}`);
    assert.ok((visitors.counts.pricedBy['v1'] ?? 0) > 0);
    assert.ok((await getJson(`${web}/api/orders`)).body.count >= 1);
  });
});

async function startShop(t: TestContext) {
  const catalogueUrl = await startCatalogue(t);
  const pricing = pricingClient(t, await startPricing(t, 'v1'));
  const book = openOrderBook(':memory:');
  defer(t, book.close);
  const orders = await listen(t, createOrderServer({ book, catalogueUrl, pricing }));
  const web = await listen(t, createWebServer({ catalogueUrl, ordersUrl: orders, pricing }));
  return { web, orders };
}

async function startCatalogue(t: TestContext): Promise<string> {
  const catalogue = openCatalogue(csv);
  defer(t, catalogue.close);
  return listen(t, createCatalogueServer(catalogue, 'catalogue-a'));
}

async function startPricing(t: TestContext, version: PricingVersion): Promise<string> {
  const server: GrpcServer = createPricingServer(version);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (failure, bound) =>
      failure === null ? resolve(bound) : reject(failure),
    );
  });
  defer(t, () => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

function pricingClient(t: TestContext, address: string) {
  const client = createPricingClient(address);
  defer(t, client.close);
  return client;
}

async function listen(t: TestContext, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(t, async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `http://127.0.0.1:${address.port}`;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes, and each assertion says which
type Answer = { readonly status: number; readonly body: any };

async function getJson(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  return { status: response.status, body: await response.json() };
}

function post(url: string, value: unknown): Promise<Answer> {
  return getJson(url, { method: 'POST', body: JSON.stringify(value) });
}
