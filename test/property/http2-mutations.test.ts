/**
 * Mutated HTTP/2 requests: whatever is accepted is one unambiguous message. Written as HTTP/1.1 it is read back as
 * exactly one request of the same meaning (no downgrade smuggles a second), written as HTTP/2 as the same head.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RequestHead } from '../../sidecar/codec/codec.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { RequestParser } from '../../sidecar/codec/http1/request-head.ts';
import { requestMode, requestText } from '../../sidecar/codec/http1/serialize.ts';
import { linesOf, RecordedResponse } from '../support/codec-recorders.ts';
import { block, headers } from '../support/http2-frames.ts';
import { playClient, playServer } from '../support/http2-peer.ts';

type Line = readonly [name: string, value: string];

const bases: readonly (readonly Line[])[] = [
  [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/a?b=c'],
    [':authority', 'a.test'],
    ['x-a', 'b'],
    ['cookie', 'k=v'],
    ['cookie', 'l=w'],
  ],
  [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', '/'],
    [':authority', 'a.test:8080'],
    ['content-length', '5'],
    ['te', 'trailers'],
    ['expect', '100-continue'],
  ],
  [
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    [':scheme', 'http'],
    [':path', '/chat'],
    [':authority', 'a.test'],
    ['sec-websocket-version', '13'],
  ],
  [
    [':method', 'OPTIONS'],
    [':scheme', 'http'],
    [':path', '*'],
    ['host', 'a.test'],
  ],
];

const names = [
  ...[':method', ':path', ':scheme', ':authority', ':protocol', ':status', ':x'],
  ...[
    'host',
    'connection',
    'keep-alive',
    'proxy-connection',
    'transfer-encoding',
    'upgrade',
    'te',
    'trailer',
  ],
  ...[
    'content-length',
    'Content-Length',
    'content_length',
    'expect',
    'cookie',
    'x-a',
    'x a',
    'x:',
    'heddle-port',
  ],
  ...['', 'x\r\ny', 'x\0', 'ü'],
] as const;
const values = [
  ...['', ' ', 'a', 'a.test', 'b.test', 'a.test:99999', 'u@a.test', '/', '//b.test/', '/a b', '/a#b', '*'],
  ...[
    'http',
    'GET',
    'get',
    'G T',
    'CONNECT',
    'websocket',
    'h2c',
    'chunked',
    'trailers',
    'close',
    'x-a',
    'gzip',
  ],
  ...['0', '5', '05', '+5', '5, 5', '99999999999999999999', '100-continue'],
  ...[
    '/ HTTP/1.1\r\nhost: b\r\n\r\n',
    'a\r\nx: y',
    'a\nb',
    'a\rb',
    'a\0b',
    ' a',
    'a ',
    'a\tb',
    '\xff',
    '\x7f',
  ],
] as const;

const accident = fc.record({
  at: fc.nat(12),
  kind: fc.constantFrom('drop', 'double', 'insert', 'value', 'rename', 'move'),
  name: fc.constantFrom(...names),
  value: fc.oneof(fc.constantFrom(...values), fc.string({ unit: 'binary-ascii', maxLength: 6 })),
});

const mutatedLines = fc
  .tuple(fc.constantFrom(...bases), fc.array(accident, { maxLength: 3 }))
  .map(([base, accidents]) => {
    const lines: Line[] = [...base];
    for (const { at, kind, name, value } of accidents) {
      const place = at % (lines.length + 1);
      const there = lines[place] ?? ['x-end', 'z'];
      if (kind === 'drop') lines.splice(place, 1);
      else if (kind === 'double') lines.splice(place, 0, there);
      else if (kind === 'insert') lines.splice(place, 0, [name, value]);
      else if (kind === 'value') lines[place] = [there[0], value];
      else if (kind === 'rename') lines[place] = [name, there[1]];
      else lines.unshift(...lines.splice(place, 1));
    }
    return lines;
  });

/** The head that a server took from these lines, or undefined where it refused them. */
function accepted(frame: Buffer): RequestHead | undefined {
  const { peer, acceptor } = playClient();
  peer.send(frame);
  return acceptor.requests[0]?.head;
}

/** Counts what passes through a law, so that it cannot hold of nothing. */
function checked(law: (head: RequestHead, end: boolean) => void): void {
  let count = 0;
  fc.assert(
    fc.property(mutatedLines, fc.boolean(), (lines, end) => {
      const head = accepted(headers(1, block(lines), end ? 5 : 4));
      if (head === undefined) return;
      count++;
      law(head, end);
    }),
    { numRuns: 3000 },
  );
  assert.ok(count > 300, `only ${count} requests were accepted`);
}

describe('a mutated HTTP/2 request that is accepted', () => {
  it('is one and the same request as HTTP/1.1', () => {
    const memo = new FieldMemo(5);
    checked((head, end) => {
      // The proxy lets neither through (`serve.ts`), whatever the version.
      if (head.method === 'CONNECT' || (head.protocol ?? 'websocket') !== 'websocket') return;
      const text = requestText(head, requestMode(head, end));
      const parser = new RequestParser(memo);
      assert.equal(
        parser.parse(Buffer.from(text, 'latin1'), 0, { scheme: 'http', link: false }),
        text.length,
      );
      const read = parser.head as RequestHead;
      const { method, path, authority, protocol, expectContinue } = head;
      assert.deepEqual(
        [read.method, read.path, read.authority, read.protocol, read.expectContinue],
        [method, path, authority, protocol, expectContinue],
      );
      assert.deepEqual(linesOf(read.fields), linesOf(head.fields));
      if (head.contentLength >= 0) assert.equal(read.contentLength, head.contentLength);
    });
  });

  it('is the same head as HTTP/2', () => {
    checked((head, end) => {
      const { peer, client } = playServer();
      client.request(head, end, new RecordedResponse());
      const written = peer.turn().filter(({ type }) => type === 1);
      assert.equal(written.length, 1);
      const [first] = written;
      const again = accepted(headers(1, first?.payload ?? Buffer.alloc(0), first?.flags));
      assert.deepEqual(
        { ...again, fields: linesOf(again?.fields ?? []) },
        { ...head, fields: linesOf(head.fields) },
      );
    });
  });
});
