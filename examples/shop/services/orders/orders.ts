/** Takes orders: asks the catalogue whether there is enough, pricing what it costs, and writes it down. */
import type { Server } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import type { Product } from '../catalogue/catalogue.ts';
import { callJson, createJsonServer, HttpProblem, readJson } from '../http.ts';
import type { PricingClient } from '../pricing/protocol.ts';

export interface Order {
  readonly id: number;
  readonly sku: string;
  readonly quantity: number;
  readonly totalCents: number;
  readonly pricing: string;
  readonly at: string;
}

export interface OrderBook {
  add(order: Omit<Order, 'id'>): Order;
  find(id: number): Order | undefined;
  /** The newest first. */
  latest(limit: number): Order[];
  count(): number;
  close(): void;
}

export interface OrderServiceOptions {
  readonly book: OrderBook;
  /** Where the catalogue answers, such as `http://localhost:8081`. */
  readonly catalogueUrl: string;
  readonly pricing: PricingClient;
}

const maxQuantity = 1_000;

/** `path` is a file, or `:memory:`. */
export function openOrderBook(path: string): OrderBook {
  const database = new DatabaseSync(path);
  database.exec(
    `PRAGMA journal_mode = WAL;
     CREATE TABLE IF NOT EXISTS placed (
       id INTEGER PRIMARY KEY, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
       total_cents INTEGER NOT NULL, pricing TEXT NOT NULL, at TEXT NOT NULL) STRICT`,
  );
  const insert = database.prepare(
    'INSERT INTO placed (sku, quantity, total_cents, pricing, at) VALUES (?, ?, ?, ?, ?) RETURNING *',
  );
  const find = database.prepare('SELECT * FROM placed WHERE id = ?');
  const latest = database.prepare('SELECT * FROM placed ORDER BY id DESC LIMIT ?');
  const count = database.prepare('SELECT count(*) AS rows FROM placed');
  return {
    add(order) {
      const row = insert.get(order.sku, order.quantity, order.totalCents, order.pricing, order.at);
      if (row === undefined) throw new Error('the order was not written');
      return orderOf(row);
    },
    find(id) {
      const row = find.get(id);
      return row === undefined ? undefined : orderOf(row);
    },
    latest: (limit) => latest.all(limit).map(orderOf),
    count: () => Number(count.get()?.['rows']),
    close: () => database.close(),
  };
}

/** `POST /orders {sku, quantity}`, `GET /orders`, `GET /orders/ID`, `GET /health`. */
export function createOrderServer(options: OrderServiceOptions): Server {
  const { book } = options;
  return createJsonServer(async (request, url) => {
    if (url.pathname === '/health') return { status: 'ok', orders: book.count() };
    if (url.pathname === '/orders' && request.method === 'POST') {
      return { order: await place(options, await readJson(request)) };
    }
    if (request.method !== 'GET') throw new HttpProblem(405, `cannot ${request.method} ${url.pathname}`);
    if (url.pathname === '/orders') return { count: book.count(), orders: book.latest(20) };
    const order = book.find(Number(/^\/orders\/(\d+)$/.exec(url.pathname)?.[1] ?? 0));
    if (order === undefined) throw new HttpProblem(404, `nothing at ${url.pathname}`);
    return { order };
  });
}

async function place(options: OrderServiceOptions, wish: unknown): Promise<Order> {
  const { sku, quantity } = wishOf(wish);
  const found = (await callJson(`${options.catalogueUrl}/products/${encodeURIComponent(sku)}`)) as {
    product: Product;
  };
  if (found.product.stock < quantity) {
    throw new HttpProblem(409, `only ${found.product.stock} of ${sku} in stock`);
  }
  const quote = await options.pricing.quote(sku, quantity);
  const { totalCents, version } = quote;
  return options.book.add({ sku, quantity, totalCents, pricing: version, at: new Date().toISOString() });
}

function wishOf(wish: unknown): { sku: string; quantity: number } {
  const { sku, quantity = 1 } = (wish ?? {}) as { sku?: unknown; quantity?: unknown };
  const fine =
    typeof sku === 'string' && typeof quantity === 'number' && Number.isInteger(quantity) && quantity > 0;
  if (!fine || quantity > maxQuantity) {
    throw new HttpProblem(400, `an order is {"sku": text, "quantity": 1 to ${maxQuantity}}`);
  }
  return { sku, quantity };
}

function orderOf(row: Record<string, unknown>): Order {
  return {
    id: Number(row['id']),
    sku: String(row['sku']),
    quantity: Number(row['quantity']),
    totalCents: Number(row['total_cents']),
    pricing: String(row['pricing']),
    at: String(row['at']),
  };
}
