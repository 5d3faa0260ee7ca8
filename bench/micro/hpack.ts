/**
 * Encoding and decoding of a typical request head, with what differs each time in it: `node bench/micro/hpack.ts`.
 * `link` is how sidecars speak to each other, `compact` how we speak to others; the last line is the Huffman code alone.
 */
import { performance } from 'node:perf_hooks';
import { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../sidecar/codec/http2/hpack/encoder.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from '../../sidecar/codec/http2/hpack/huffman.ts';
import { MessageReader } from '../../sidecar/codec/http2/message-reader.ts';
import { writeRequest } from '../../sidecar/codec/http2/message-writer.ts';
import { OutBuffer } from '../../sidecar/codec/http2/out-buffer.ts';

const runs = 500_000;
const rounds = 3;
const memo = new FieldMemo(1);

const repeated = [
  ['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ['accept-encoding', 'gzip, deflate, br'],
  ['accept-language', 'en-GB,en;q=0.9'],
  ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'],
  ['content-type', 'application/json'],
  ['heddle-port', '8080'],
].map(([name, value]) => {
  memo.intern(name as string, value as string);
  return memo.intern(name as string, value as string);
});
const ids = Array.from({ length: 64 }, (_, n) => [
  new Field('x-request-id', `0b1c2d3e-4f50-4a61-8b72-${String(n).padStart(12, '0')}`),
  new Field(
    'traceparent',
    `00-4bf92f3577b34da6a3ce929d0e0e47${String(n).padStart(2, '0')}-00f067aa0ba902b7-01`,
  ),
]);
const heads = ids.map((fresh) => ({
  method: 'GET',
  scheme: 'http' as const,
  authority: 'orders.shop',
  path: '/orders/list?page=1',
  fields: [...repeated, ...fresh],
  contentLength: -1,
  protocol: undefined,
  expectContinue: false,
  acceptsTrailers: false,
}));

for (const [what, compact] of [
  ['link', false],
  ['compact', true],
] as const) {
  const encoder = new HpackEncoder({ maxTableBytes: 4096, compact });
  const decoder = new HpackDecoder(4096);
  const reader = new MessageReader(true);
  const out = new OutBuffer(65_536);
  const blocks: Buffer[] = [];
  const encode = time(() => {
    for (let n = 0; n < runs; n++) {
      writeRequest(out, encoder, heads[n & 63] as (typeof heads)[number], true);
      if (n < 64) blocks.push(Buffer.from(out.take() as Buffer));
      else out.clear();
    }
  });
  for (const block of blocks) read(decoder, reader, block);
  const last = blocks.slice(8);
  const decode = time(() => {
    for (let n = 0; n < runs; n++) read(decoder, reader, last[n % last.length] as Buffer);
  });
  const size = last[0]?.length ?? 0;
  process.stdout.write(`${what}: ${size} bytes, encode ${encode} ns, decode ${decode} ns\n`);
}

const text = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
const coded = Buffer.alloc(huffmanLength(text));
const pack = time(() => {
  for (let n = 0; n < runs; n++) huffmanEncode(text, coded, 0);
});
const unpack = time(() => {
  for (let n = 0; n < runs; n++) huffmanDecode(coded, 0, coded.length);
});
process.stdout.write(`huffman, ${text.length} bytes: encode ${pack} ns, decode ${unpack} ns\n`);

function read(decoder: HpackDecoder, reader: MessageReader, block: Buffer): void {
  reader.begin('request');
  decoder.decode(block, 0, block.length, reader);
  if (reader.request(true) === undefined) throw new Error(reader.problem);
}

/** Nanoseconds per run, the best of the rounds. */
function time(work: () => void): string {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    work();
    best = Math.min(best, performance.now() - start);
  }
  return ((best * 1e6) / runs).toFixed(0);
}
