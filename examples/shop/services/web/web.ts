/** The shop's front, plain `node:http`: a page for people, and the same as JSON. */
import type { Server, ServerResponse } from 'node:http';
import type { Product } from '../catalogue/catalogue.ts';
import { callJson, createJsonServer, HttpProblem, readJson } from '../http.ts';
import type { PricingClient } from '../pricing/protocol.ts';

export interface WebOptions {
  /** Where the others answer, such as `http://localhost:8081`. */
  readonly catalogueUrl: string;
  readonly ordersUrl: string;
  readonly pricing: PricingClient;
}

interface Offer extends Product {
  readonly cents: number;
  readonly pricedBy: string;
}

const offersPerPage = 5;

/** `GET /`, `GET /api/offers?search=`, `GET|POST /api/orders`, `GET /api/prices/SKU` (event stream), `GET /health`. */
export function createWebServer(options: WebOptions): Server {
  return createJsonServer(async (request, url, response) => {
    const what = `${request.method} ${url.pathname}`;
    if (what === 'GET /health') return { status: 'ok' };
    if (what === 'GET /api/offers') return offersOf(options, url.searchParams.get('search') ?? '');
    if (what === 'GET /api/orders') return callJson(`${options.ordersUrl}/orders`);
    if (what === 'POST /api/orders') {
      const body = JSON.stringify(await readJson(request));
      return callJson(`${options.ordersUrl}/orders`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    }
    if (what === 'GET /') return sendPage(response, await offersOf(options, 'indigo'));
    const sku = /^GET \/api\/prices\/([\w-]+)$/.exec(what)?.[1];
    if (sku === undefined) throw new HttpProblem(404, `nothing at ${url.pathname}`);
    return sendPrices(options.pricing, sku, response);
  });
}

async function offersOf(options: WebOptions, search: string) {
  const query = new URLSearchParams({ search, limit: String(offersPerPage) });
  const found = (await callJson(`${options.catalogueUrl}/products?${query}`)) as {
    servedBy: string;
    products: Product[];
  };
  const offers = await Promise.all(
    found.products.map(async (product): Promise<Offer> => {
      const quote = await options.pricing.quote(product.sku, 1);
      return { ...product, cents: quote.totalCents, pricedBy: quote.version };
    }),
  );
  return { servedBy: found.servedBy, offers };
}

/** Server-sent events, one per price that the stream brings. */
function sendPrices(pricing: PricingClient, sku: string, response: ServerResponse): undefined {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const prices = pricing.watch({ sku, count: 0, intervalMs: 1_000 });
  prices.on('data', (price) => response.write(`data: ${JSON.stringify(price)}\n\n`));
  prices.on('error', (failure) => response.end(`event: error\ndata: ${failure.message}\n\n`));
  prices.on('end', () => response.end());
  response.once('close', () => prices.cancel());
  return undefined;
}

function sendPage(response: ServerResponse, page: { servedBy: string; offers: readonly Offer[] }): undefined {
  const rows = page.offers.map(
    (offer) =>
      `<tr><td>${offer.name}</td><td>${(offer.cents / 100).toFixed(2)}</td><td>${offer.stock}</td><td>${offer.pricedBy}</td></tr>`,
  );
  const body = Buffer.from(
    `<!doctype html><meta charset="utf-8"><title>Yarns</title><h1>Yarns of the day</h1>
<table><tr><th>yarn<th>price<th>in stock<th>priced by</tr>${rows.join('')}</table>
<p>catalogue: ${page.servedBy}</p>\n`,
  );
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': body.length });
  response.end(body);
  return undefined;
}
