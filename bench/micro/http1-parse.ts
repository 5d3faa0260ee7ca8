/**
 * Parse and serialise of a head of about 450 bytes, in µs, by how much of it the memo knows.
 *
 *   node bench/micro/http1-parse.ts
 */
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { RequestParser } from '../../sidecar/codec/http1/request-head.ts';
import { requestMode, requestText } from '../../sidecar/codec/http1/serialize.ts';

const rounds = 5;
const headsPerRound = 200_000;
const plain = { scheme: 'http', link: false } as const;

const repeated = [
  'Host: shop.example.com',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Encoding: gzip, deflate, br',
  'Accept-Language: en-US,en;q=0.5',
];
const secret = 'Cookie: session=9f8a7b6c5d4e3f2a1b0c; theme=dark';
const hex = (n: number) => n.toString(16).padStart(32, '0');

const variants: readonly (readonly [what: string, line: (n: number) => string])[] = [
  ['every line known', () => 'X-Tenant: 4711'],
  ['one line unique (a trace)', (n) => `Traceparent: 00-${hex(n)}-00f067aa0ba902b7-01`],
  ['every line unique (no memo)', (n) => `X-Tenant: ${n}`],
];

for (const [what, line] of variants) {
  const isUnique = what.startsWith('every line unique');
  const heads = Array.from({ length: 1024 }, (_, n) => {
    const lines = isUnique ? repeated.map((each, i) => (i === 0 ? each : `${each}${hex(n)}`)) : repeated;
    return Buffer.from(
      `GET /shop/items/42?page=2 HTTP/1.1\r\n${[...lines, secret, line(n)].join('\r\n')}\r\n\r\n`,
    );
  });
  const best = Math.min(...Array.from({ length: rounds }, () => measure(heads, isUnique)));
  process.stdout.write(`${what}: ${best.toFixed(3)} µs for ${heads[0]?.length} bytes\n`);
}

/** Microseconds a head. */
function measure(heads: readonly Buffer[], fresh: boolean): number {
  let memo = new FieldMemo(1);
  let parser = new RequestParser(memo);
  let length = 0;
  const begin = process.hrtime.bigint();
  for (let i = 0; i < headsPerRound; i++) {
    if (fresh && i % heads.length === 0) {
      memo = new FieldMemo(1);
      parser = new RequestParser(memo);
    }
    parser.parse(heads[i % heads.length] as Buffer, 0, plain);
    const { head } = parser;
    if (head !== undefined) length += requestText(head, requestMode(head, true)).length;
  }
  const took = Number(process.hrtime.bigint() - begin);
  if (length === 0) throw new Error('nothing was parsed');
  return took / 1000 / headsPerRound;
}
