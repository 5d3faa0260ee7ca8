/** The shop's visitors: a small steady load on the front, counted. */
import { createJsonServer } from '../http.ts';

export interface VisitorCounts {
  requests: number;
  failures: number;
  /** What the last failure was. */
  lastFailure: string | undefined;
  /** Offers by the version of pricing that priced them. */
  readonly pricedBy: Record<string, number>;
}

export interface Visitors {
  readonly counts: VisitorCounts;
  stop(): void;
}

const searches = ['indigo', 'wool', 'silk', 'madder', 'linen', 'walnut'];
/** Every so many visits end with an order. */
const orderEvery = 10;
const openLookMs = 100;

/**
 * Resolves when everything behind the front answers: all searches in a row, often enough to have met every version
 * of pricing, and the orders. Visitors do not come before the shop is open.
 */
export async function whenOpen(webUrl: string): Promise<void> {
  for (;;) {
    try {
      await get(`${webUrl}/api/orders`);
      for (const search of [...searches, ...searches]) await get(`${webUrl}/api/offers?search=${search}`);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, openLookMs));
    }
  }
}

/** Visits `webUrl` so many times a second, whether or not the former visit has ended. */
export function startVisitors(webUrl: string, perSecond: number): Visitors {
  const counts: VisitorCounts = { requests: 0, failures: 0, lastFailure: undefined, pricedBy: {} };
  let turn = 0;
  const timer = setInterval(() => {
    turn++;
    const visit = turn % orderEvery === 0 ? order(webUrl) : browse(webUrl, turn, counts);
    visit.then(
      () => {
        counts.requests++;
      },
      (failure: unknown) => {
        counts.requests++;
        counts.failures++;
        counts.lastFailure = failure instanceof Error ? failure.message : String(failure);
      },
    );
  }, 1_000 / perSecond);
  return { counts, stop: () => clearInterval(timer) };
}

/** `GET /counts` and `GET /health`. */
export function createCountsServer(counts: () => VisitorCounts | undefined) {
  return createJsonServer(async (_request, url) => {
    if (url.pathname === '/health') return { status: 'ok' };
    return counts() ?? { requests: 0, failures: 0, pricedBy: {} };
  });
}

async function browse(webUrl: string, turn: number, counts: VisitorCounts): Promise<void> {
  const search = searches[turn % searches.length] ?? '';
  const page = (await get(`${webUrl}/api/offers?search=${search}`)) as { offers: { pricedBy: string }[] };
  for (const { pricedBy } of page.offers) counts.pricedBy[pricedBy] = (counts.pricedBy[pricedBy] ?? 0) + 1;
}

async function order(webUrl: string): Promise<void> {
  await get(`${webUrl}/api/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sku: 'WOOL-INDIGO-50', quantity: 1 }),
  });
}

async function get(url: string, init: RequestInit = {}): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000), ...init });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text.trim()}`);
  return JSON.parse(text);
}
