/** Random header lists in a row, encoded with one encoder whose table they share. */
import fc from 'fast-check';
import { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { HpackEncoder } from '../../sidecar/codec/http2/hpack/encoder.ts';
import { OutBuffer } from '../../sidecar/codec/http2/out-buffer.ts';

const value = fc.oneof(
  fc.constantFrom(
    '',
    'a',
    'gzip, deflate',
    'Mozilla/5.0 (X11; Linux x86_64)',
    'text/html; charset=utf-8',
    'x'.repeat(1500),
  ),
  fc.string({
    unit: fc
      .integer({ min: 0x21, max: 0xff })
      .filter((c) => c !== 0x7f)
      .map((c) => String.fromCharCode(c)),
    maxLength: 60,
  }),
);
const name = fc.constantFrom(
  'accept-encoding',
  'cache-control',
  'x-request-id',
  'traceparent',
  'cookie',
  'set-cookie',
  'authorization',
  'x-api-key',
  'date',
  'x-a',
  'x-b',
  'x-c-long-name-for-a-change',
  'grpc-timeout',
  'user-agent',
  'content-type',
  'heddle-status',
  'heddle-upgrade',
);
const line = fc.tuple(name, value);
/** One list, and what surrounds it. */
export const step = fc.record({
  lines: fc.array(line, { maxLength: 20 }),
  path: fc.constantFrom('/', '/a', '/b?c=d', '/index.html', `/${'p'.repeat(2000)}`),
  authority: fc.constantFrom('a.test', 'b.test:8080'),
  status: fc.constantFrom(200, 204, 404, 418, 503),
  length: fc.constantFrom(0, 5, 1234, 2 ** 40),
  /** A change of the peer's table size before the block. */
  tableBytes: fc.option(fc.constantFrom(0, 100, 4096, 65_536), { freq: 8 }),
});

export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Encodes the steps' blocks; also what they say. */
export function encodeAll(steps: readonly Step[], compact: boolean): { block: Buffer; lines: string[] }[] {
  const encoder = new HpackEncoder({ maxTableBytes: 4096, compact });
  const memo = new FieldMemo(3);
  const out = new OutBuffer(256);
  return steps.map((each, i) => {
    if (each.tableBytes !== null) encoder.setPeerTableSize(each.tableBytes);
    encoder.begin(out);
    encoder.status(out, each.status);
    encoder.authority(out, each.authority);
    encoder.path(out, each.path);
    for (const [at, [name, text]] of each.lines.entries()) {
      // Memoised and fresh fields with the same content must not differ.
      encoder.field(out, (i + at) % 3 === 0 ? new Field(name, text) : memo.intern(name, text));
    }
    encoder.contentLength(out, each.length);
    const lines = [
      `:status: ${each.status}`,
      `:authority: ${each.authority}`,
      `:path: ${each.path}`,
      ...each.lines.map(([name, text]) => `${name}: ${text}`),
      `content-length: ${each.length}`,
    ];
    return { block: Buffer.from(out.take() as Buffer), lines };
  });
}
