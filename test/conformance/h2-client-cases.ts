/** What an upstream may send on stream 1, after both SETTINGS and our request on it, and what it gets. */
import {
  block,
  continuation,
  data,
  frame,
  goaway,
  headers,
  ping,
  priority,
  rst,
  settings,
  u32,
  windowUpdate,
} from '../support/http2-frames.ts';
import { code, connection, type Lines, raw, stream } from './h2-cases.ts';

export type ClientExpected =
  | ReturnType<typeof connection>
  | ReturnType<typeof stream>
  /** The whole answer arrives: status, body. */
  | { readonly answer: readonly [status: number, body: string] }
  /** The request is lost without a word to the upstream; whether it may be sent again. */
  | { readonly lost: 'always' | 'if_idempotent' | 'never' }
  /** The connection is fine and the request still waits. */
  | { readonly waiting: true };

export interface ClientCase {
  readonly name: string;
  readonly bytes: readonly Buffer[];
  readonly expect: ClientExpected;
  /** GET by default. */
  readonly method?: string;
}

export const ok: Lines = [[':status', '200']];
export const withField = (name: string, value: string): Lines => [...ok, [name, value]];
export const head = (lines: Lines = ok, flags = 4, id = 1): Buffer => headers(id, block(lines), flags);
export const whole = (lines: Lines = ok, id = 1): Buffer => head(lines, 5, id);
export const answer = (status: number, body = ''): ClientExpected => ({ answer: [status, body] });
const waiting: ClientExpected = { waiting: true };
const none = Buffer.alloc(0);

export const clientCases: readonly ClientCase[] = [
  {
    name: '4.1 ignores an unknown frame',
    bytes: [frame(0x16, 0xff, 1, Buffer.alloc(8)), whole()],
    expect: answer(200),
  },
  { name: '4.1 ignores the reserved bit', bytes: [whole(ok, 0x8000_0001)], expect: answer(200) },
  {
    name: '4.2 takes DATA of 2^14 bytes',
    bytes: [head(), data(1, Buffer.alloc(16_384, 'x'), 1)],
    expect: answer(200, 'x'.repeat(16_384)),
  },
  {
    name: '4.2 refuses DATA over the frame size',
    bytes: [head(), data(1, Buffer.alloc(16_385), 1)],
    expect: connection(code.size),
  },
  {
    name: '4.2 refuses HEADERS over the frame size',
    bytes: [headers(1, Buffer.alloc(16_385))],
    expect: connection(code.size),
  },
  {
    name: '4.3 refuses a bad header block',
    bytes: [headers(1, raw('ff'))],
    expect: connection(code.compression),
  },
  {
    name: '4.3 refuses PRIORITY within a block',
    bytes: [head(ok, 0), priority(1, 0)],
    expect: connection(code.protocol),
  },
  {
    name: '4.3 refuses DATA within a block',
    bytes: [head(ok, 0), data(1, 'a')],
    expect: connection(code.protocol),
  },
  {
    name: '4.3 refuses HEADERS of another stream within a block',
    bytes: [head(ok, 0), whole(ok, 3)],
    expect: connection(code.protocol),
  },
  { name: '5.1 refuses DATA on an idle stream', bytes: [data(3, 'a')], expect: connection(code.protocol) },
  { name: '5.1 refuses HEADERS on an idle stream', bytes: [whole(ok, 3)], expect: connection(code.protocol) },
  { name: '5.1 refuses RST_STREAM on an idle stream', bytes: [rst(3, 8)], expect: connection(code.protocol) },
  {
    name: '5.1 refuses WINDOW_UPDATE on an idle stream',
    bytes: [windowUpdate(3, 1)],
    expect: connection(code.protocol),
  },
  {
    name: '5.1 refuses CONTINUATION from nowhere',
    bytes: [continuation(1, block(ok))],
    expect: connection(code.protocol),
  },
  {
    name: '5.1 refuses HEADERS on a stream that a server opens',
    bytes: [whole(ok, 2)],
    expect: connection(code.protocol),
  },
  { name: '5.1 refuses DATA after the end', bytes: [whole(), data(1, 'a')], expect: connection(code.closed) },
  { name: '5.1 refuses HEADERS after the end', bytes: [whole(), whole()], expect: connection(code.closed) },
  {
    name: '5.1 takes WINDOW_UPDATE and RST_STREAM after the end',
    bytes: [whole(), windowUpdate(1, 1), rst(1, 0)],
    expect: answer(200),
  },
  {
    name: '5.1 delivers what came before a reset after the end',
    bytes: [head(), data(1, 'abc', 1), rst(1, 0)],
    expect: answer(200, 'abc'),
  },
  {
    name: '5.1 refuses DATA after a reset',
    bytes: [rst(1, 8), data(1, 'a')],
    expect: connection(code.closed),
  },
  {
    name: '5.3 refuses PRIORITY that depends on itself',
    bytes: [priority(1, 1)],
    expect: connection(code.protocol),
  },
  { name: '6.1 refuses DATA on stream 0', bytes: [data(0, 'a')], expect: connection(code.protocol) },
  {
    name: '6.1 takes padded DATA',
    bytes: [head(), data(1, raw('03 6162 000000'), 9)],
    expect: answer(200, 'ab'),
  },
  {
    name: '6.1 refuses padding over the frame',
    bytes: [head(), data(1, raw('06 6162 000000'), 9)],
    expect: connection(code.protocol),
  },
  { name: '6.1 refuses DATA before a head', bytes: [data(1, 'a')], expect: stream(code.protocol) },
  { name: '6.2 refuses HEADERS on stream 0', bytes: [whole(ok, 0)], expect: connection(code.protocol) },
  {
    name: '6.2 takes padded HEADERS',
    bytes: [headers(1, Buffer.concat([raw('02'), block(ok), raw('0000')]), 0x0d)],
    expect: answer(200),
  },
  {
    name: '6.2 refuses padding over the frame',
    bytes: [headers(1, Buffer.concat([raw('ff'), block(ok)]), 0x0d)],
    expect: connection(code.protocol),
  },
  { name: '6.3 refuses PRIORITY on stream 0', bytes: [priority(0, 1)], expect: connection(code.protocol) },
  {
    name: '6.3 refuses PRIORITY of 4 bytes',
    bytes: [frame(2, 0, 1, Buffer.alloc(4))],
    expect: connection(code.size),
  },
  { name: '6.4 refuses RST_STREAM on stream 0', bytes: [rst(0, 8)], expect: connection(code.protocol) },
  {
    name: '6.4 refuses RST_STREAM of 3 bytes',
    bytes: [frame(3, 0, 1, Buffer.alloc(3))],
    expect: connection(code.size),
  },
  { name: '6.4 loses the request by a reset', bytes: [rst(1, 2)], expect: { lost: 'never' } },
  { name: '6.4 may repeat a refused request', bytes: [rst(1, 7)], expect: { lost: 'always' } },
  { name: '7 takes a reset with an unknown code', bytes: [rst(1, 0xff)], expect: { lost: 'never' } },
  {
    name: '6.5 refuses an acknowledgement with a payload',
    bytes: [frame(4, 1, 0, Buffer.alloc(6))],
    expect: connection(code.size),
  },
  {
    name: '6.5 refuses SETTINGS on a stream',
    bytes: [frame(4, 0, 1, none)],
    expect: connection(code.protocol),
  },
  {
    name: '6.5 refuses SETTINGS of 5 bytes',
    bytes: [frame(4, 0, 0, Buffer.alloc(5))],
    expect: connection(code.size),
  },
  {
    name: '6.5.2 refuses INITIAL_WINDOW_SIZE 2^31',
    bytes: [settings([[4, 2 ** 31]])],
    expect: connection(code.flow),
  },
  {
    name: '6.5.2 refuses MAX_FRAME_SIZE 16383',
    bytes: [settings([[5, 16_383]])],
    expect: connection(code.protocol),
  },
  {
    name: '6.5.2 refuses MAX_FRAME_SIZE 2^24',
    bytes: [settings([[5, 2 ** 24]])],
    expect: connection(code.protocol),
  },
  {
    name: '6.5.2 refuses ENABLE_PUSH 1 of a server',
    bytes: [settings([[2, 1]])],
    expect: connection(code.protocol),
  },
  { name: '6.5.2 ignores an unknown setting', bytes: [settings([[0xff, 1]])], expect: waiting },
  {
    name: '6.6 refuses PUSH_PROMISE',
    bytes: [frame(5, 4, 1, Buffer.concat([u32(2), block(ok)]))],
    expect: connection(code.protocol),
  },
  {
    name: '6.7 refuses PING on a stream',
    bytes: [frame(6, 0, 1, Buffer.alloc(8))],
    expect: connection(code.protocol),
  },
  {
    name: '6.7 refuses PING of 7 bytes',
    bytes: [frame(6, 0, 0, Buffer.alloc(7))],
    expect: connection(code.size),
  },
  {
    name: '6.8 refuses GOAWAY on a stream',
    bytes: [frame(7, 0, 1, u32(0, 0))],
    expect: connection(code.protocol),
  },
  {
    name: '6.8 refuses GOAWAY of 7 bytes',
    bytes: [frame(7, 0, 0, Buffer.alloc(7))],
    expect: connection(code.size),
  },
  {
    name: '6.8 may repeat a request above the last stream',
    bytes: [goaway(0, 0)],
    expect: { lost: 'always' },
  },
  {
    name: '6.8 may repeat a request that a second GOAWAY leaves out',
    bytes: [goaway(2 ** 31 - 1, 0), goaway(0, 0)],
    expect: { lost: 'always' },
  },
  {
    name: '6.8 goes on where a second GOAWAY names a higher stream',
    bytes: [goaway(1, 0), goaway(3, 0), whole()],
    expect: answer(200),
  },
  {
    name: '6.8 goes on after GOAWAY with an error',
    bytes: [goaway(1, 2), head(), data(1, 'abc', 1)],
    expect: answer(200, 'abc'),
  },
  {
    name: '6.8 goes on with a request up to the last stream',
    bytes: [goaway(1, 0), whole()],
    expect: answer(200),
  },
  { name: '6.8 goes on after a warning', bytes: [goaway(2 ** 31 - 1, 0), whole()], expect: answer(200) },
  {
    name: '6.9 refuses WINDOW_UPDATE of 0 on the connection',
    bytes: [windowUpdate(0, 0)],
    expect: connection(code.protocol),
  },
  {
    name: '6.9 refuses WINDOW_UPDATE of 0 on a stream',
    bytes: [windowUpdate(1, 0)],
    expect: stream(code.protocol),
  },
  {
    name: '6.9 refuses WINDOW_UPDATE of 3 bytes',
    bytes: [frame(8, 0, 0, Buffer.alloc(3))],
    expect: connection(code.size),
  },
  {
    name: '6.9.1 refuses a connection window over 2^31 - 1',
    bytes: [windowUpdate(0, 2 ** 31 - 1)],
    expect: connection(code.flow),
  },
  {
    name: '6.9.1 refuses a stream window over 2^31 - 1',
    bytes: [windowUpdate(1, 2 ** 31 - 1)],
    expect: stream(code.flow),
  },
  {
    name: '6.10 takes several CONTINUATION',
    bytes: [
      headers(1, block(ok).subarray(0, 3), 1),
      continuation(1, block(ok).subarray(3, 5), 0),
      continuation(1, block(ok).subarray(5)),
    ],
    expect: answer(200),
  },
  {
    name: '6.10 refuses CONTINUATION of another stream',
    bytes: [head(ok, 0), continuation(3, none)],
    expect: connection(code.protocol),
  },
  {
    name: '6.10 refuses CONTINUATION after END_HEADERS',
    bytes: [head(), continuation(1, none)],
    expect: connection(code.protocol),
  },
  { name: 'HPACK: refuses index 0', bytes: [headers(1, raw('88 80'))], expect: connection(code.compression) },
  {
    name: 'HPACK: refuses an index past the table',
    bytes: [headers(1, raw('88 be'))],
    expect: connection(code.compression),
  },
  {
    name: 'HPACK: refuses a size update at the end',
    bytes: [headers(1, raw('88 20'))],
    expect: connection(code.compression),
  },
  {
    name: 'HPACK: refuses a size update over SETTINGS',
    bytes: [headers(1, raw('3fe21f 88'))],
    expect: connection(code.compression),
  },
  {
    name: 'HPACK: refuses huffman padding over 7 bits',
    bytes: [headers(1, raw('88 00 8207ff 8107'))],
    expect: connection(code.compression),
  },
  {
    name: 'HPACK: refuses end-of-string',
    bytes: [headers(1, raw('88 000161 84ffffffff'))],
    expect: connection(code.compression),
  },
  {
    name: 'HPACK: refuses an integer over 32 bits',
    bytes: [headers(1, raw('88 ffffffffffff0f'))],
    expect: connection(code.compression),
  },
];

/** What an upstream sends instead of SETTINGS. */
export const badServerBeginnings: readonly { readonly name: string; readonly bytes: Buffer }[] = [
  { name: 'HEADERS', bytes: whole() },
  { name: 'PING', bytes: ping() },
  { name: 'an acknowledgement', bytes: settings([], 1) },
  { name: 'HTTP/1.1', bytes: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n', 'latin1') },
];
