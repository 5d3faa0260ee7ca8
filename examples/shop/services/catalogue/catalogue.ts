/** What the shop sells: rows of a file, held in SQLite, searched by words. */
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { createJsonServer, HttpProblem } from '../http.ts';

export interface Product {
  readonly sku: string;
  readonly name: string;
  readonly material: string;
  readonly colour: string;
  readonly grams: number;
  readonly stock: number;
  readonly note: string;
}

export interface Catalogue {
  /** Products whose name, material or colour contains `words`, by SKU. */
  search(words: string, limit: number): Product[];
  find(sku: string): Product | undefined;
  count(): number;
  close(): void;
}

const columns = ['sku', 'name', 'material', 'colour', 'grams', 'stock', 'note'] as const;
const maxResults = 100;

export function openCatalogue(csvPath: string): Catalogue {
  const database = new DatabaseSync(':memory:');
  database.exec(
    'CREATE TABLE product (sku TEXT PRIMARY KEY, name TEXT, material TEXT, colour TEXT, grams INTEGER, stock INTEGER, note TEXT) STRICT',
  );
  const insert = database.prepare(`INSERT INTO product VALUES (${columns.map(() => '?').join(', ')})`);
  for (const line of readFileSync(csvPath, 'utf8').trimEnd().split('\n').slice(1)) {
    insert.run(...fieldsOf(line));
  }
  const search = database.prepare(
    `SELECT * FROM product WHERE name LIKE ?1 OR material LIKE ?1 OR colour LIKE ?1 ORDER BY sku LIMIT ?2`,
  );
  const find = database.prepare('SELECT * FROM product WHERE sku = ?');
  const count = database.prepare('SELECT count(*) AS rows FROM product');
  return {
    search: (words, limit) => search.all(`%${words}%`, Math.min(limit, maxResults)).map(productOf),
    find: (sku) => {
      const row = find.get(sku);
      return row === undefined ? undefined : productOf(row);
    },
    count: () => Number(count.get()?.['rows']),
    close: () => database.close(),
  };
}

/** `GET /products?search=&limit=`, `GET /products/SKU`, `GET /health`. */
export function createCatalogueServer(catalogue: Catalogue, instance: string): Server {
  return createJsonServer(async (request, url) => {
    if (request.method !== 'GET') throw new HttpProblem(405, `cannot ${request.method} here`);
    if (url.pathname === '/health') return { status: 'ok', products: catalogue.count() };
    if (url.pathname === '/products') {
      const { search, limit } = queryOf(url);
      return { servedBy: instance, products: catalogue.search(search, limit) };
    }
    const sku = /^\/products\/([^/]+)$/.exec(url.pathname)?.[1];
    const product = sku === undefined ? undefined : catalogue.find(decodeURIComponent(sku));
    if (product === undefined) throw new HttpProblem(404, `nothing at ${url.pathname}`);
    return { servedBy: instance, product };
  });
}

function queryOf(url: URL): { search: string; limit: number } {
  const limit = Number(url.searchParams.get('limit') ?? 10);
  if (!Number.isInteger(limit) || limit < 1) throw new HttpProblem(400, 'limit is not a positive number');
  return { search: url.searchParams.get('search') ?? '', limit };
}

/** The fields of one line; quotes hold commas, and no field has a quote or a line break in it. */
function fieldsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"(?:,|$)|([^,]*)(?:,|$)/g)]
    .slice(0, columns.length)
    .map(([, quoted, bare]) => quoted ?? bare ?? '');
}

function productOf(row: Record<string, unknown>): Product {
  return {
    sku: String(row['sku']),
    name: String(row['name']),
    material: String(row['material']),
    colour: String(row['colour']),
    grams: Number(row['grams']),
    stock: Number(row['stock']),
    note: String(row['note']),
  };
}
