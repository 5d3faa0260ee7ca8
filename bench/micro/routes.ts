/**
 * Time of one route match with 1, 100 and 10,000 rules: `node bench/micro/routes.ts`.
 * It has to stay flat; what grows a little is the memory that is touched.
 */
import { performance } from 'node:perf_hooks';
import { compileRoutes } from '../../mesh/decide/routes.ts';
import type { RouteRule } from '../../mesh/model.ts';

const matches = 2_000_000;
const rounds = 3;

for (const count of [1, 100, 10_000]) {
  const table = compileRoutes({ rules: Array.from({ length: count }, (_, index) => ruleOf(index)) });
  const paths = Array.from({ length: 64 }, (_, n) => pathOf((n * 7919) % count, n));
  const request = { method: 'GET', path: '', header: () => undefined };
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let n = 0; n < matches; n++) {
      request.path = paths[n & 63] ?? '';
      if (table.match(request) === undefined) throw new Error(`nothing matches ${request.path}`);
    }
    best = Math.min(best, performance.now() - start);
  }
  process.stdout.write(`${count} rules: ${((best * 1e6) / matches).toFixed(0)} ns\n`);
}

function ruleOf(index: number): RouteRule {
  return {
    route: `HTTPRoute bench/r #${index}`,
    match: {
      path: { kind: index % 2 === 0 ? 'exact' : 'prefix', value: `/service${index}/items` },
      method: index % 3 === 0 ? undefined : 'GET',
      headers: [],
      query: [],
      serverName: undefined,
    },
    filters: [],
    backends: [],
    timeouts: { requestMs: undefined, backendRequestMs: undefined },
  };
}

/** As a codec hands it over: one flat string. */
function pathOf(index: number, n: number): string {
  const rest = index % 2 === 0 ? '' : '/1234';
  return Buffer.from(`/service${index}/items${rest}${n % 4 === 0 ? '?page=2' : ''}`).toString('latin1');
}
