/**
 * The raw-frame cases of RFC 9113 and RFC 7541 as data: what a peer sends and what it must get.
 * `stream` and `connection` name the error code that RST_STREAM or GOAWAY has to carry; several are alternatives.
 */
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

export const code = {
  no: 0,
  protocol: 1,
  flow: 3,
  closed: 5,
  size: 6,
  refused: 7,
  compression: 9,
  calm: 11,
} as const;

export type Expected =
  | { readonly connection: readonly number[] }
  | { readonly stream: readonly number[]; readonly id?: number }
  /** Nothing is wrong: a PING after it is answered, and so many requests reached the acceptor. */
  | { readonly requests: number };

export interface Case {
  readonly name: string;
  readonly bytes: readonly Buffer[];
  readonly expect: Expected;
}

export type Lines = readonly (readonly [string, string])[];

export const get: Lines = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
];
export const post: Lines = [[':method', 'POST'], ...get.slice(1)];

export const open = (id: number, flags = 4): Buffer => headers(id, block(post), flags);
const whole = (id: number): Buffer => headers(id, block(get));
export const connection = (...codes: number[]): Expected => ({ connection: codes });
export const stream = (...codes: number[]): Expected => ({ stream: codes });
export const fine = (requests: number): Expected => ({ requests });
export const raw = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const none = Buffer.alloc(0);
/** The four pseudo-headers in six bytes: GET, http, /, and :authority a. */
export const short = raw('828684 410161');

/** Cases that begin after the preface and both SETTINGS. */
export const serverCases: readonly Case[] = [
  // §4.1, §4.2, §5.5
  {
    name: '4.1 ignores a frame of unknown type',
    bytes: [frame(0x16, 0xff, 1, Buffer.alloc(8)), whole(1)],
    expect: fine(1),
  },
  {
    name: '9218.7.1 ignores PRIORITY_UPDATE, whatever stands in it',
    bytes: [
      whole(1),
      frame(0x10, 0, 0, raw('00000001 753d31')),
      frame(0x10, 0, 7, none),
      frame(0x10, 0xff, 0, none),
    ],
    expect: fine(1),
  },
  { name: '4.1 ignores an unknown frame on stream 0', bytes: [frame(0xfe, 0, 0, none)], expect: fine(0) },
  { name: '4.1 ignores undefined flags', bytes: [ping(Buffer.alloc(8), 0x16)], expect: fine(0) },
  {
    name: '4.1 ignores undefined flags of HEADERS',
    bytes: [headers(1, block(get), 0xc0 | 5)],
    expect: fine(1),
  },
  { name: '4.1 ignores the reserved bit', bytes: [headers(0x8000_0001, block(get))], expect: fine(1) },
  {
    name: '4.2 takes DATA of 2^14 bytes',
    bytes: [open(1), data(1, Buffer.alloc(16_384), 1)],
    expect: fine(1),
  },
  {
    name: '4.2 refuses DATA over the frame size',
    bytes: [open(1), data(1, Buffer.alloc(16_385), 1)],
    expect: connection(code.size),
  },
  {
    name: '4.2 refuses HEADERS over the frame size',
    bytes: [headers(1, Buffer.alloc(16_385))],
    expect: connection(code.size),
  },
  {
    name: '4.2 refuses SETTINGS over the frame size',
    bytes: [frame(4, 0, 0, Buffer.alloc(16_386))],
    expect: connection(code.size),
  },
  {
    name: '4.2 refuses an unknown frame over the frame size',
    bytes: [frame(0x20, 0, 0, Buffer.alloc(16_385))],
    expect: connection(code.size),
  },
  // §4.3
  {
    name: '4.3 refuses a bad header block',
    bytes: [headers(1, raw('ff'))],
    expect: connection(code.compression),
  },
  {
    name: '4.3 refuses PRIORITY within a block',
    bytes: [headers(1, block(get), 1), priority(1, 0)],
    expect: connection(code.protocol),
  },
  {
    name: '4.3 refuses HEADERS of another stream within a block',
    bytes: [headers(1, block(get), 1), whole(3)],
    expect: connection(code.protocol),
  },
  {
    name: '4.3 refuses HEADERS of the same stream within a block',
    bytes: [headers(1, block(get), 1), whole(1)],
    expect: connection(code.protocol),
  },
  {
    name: '4.3 refuses DATA within a block',
    bytes: [headers(1, block(get), 0), data(1, 'a')],
    expect: connection(code.protocol),
  },
  {
    name: '4.3 refuses an unknown frame within a block',
    bytes: [headers(1, block(get), 1), frame(0x20, 0, 1)],
    expect: connection(code.protocol),
  },
  // §5.1
  { name: '5.1 idle: refuses DATA', bytes: [data(1, 'a')], expect: connection(code.protocol) },
  { name: '5.1 idle: refuses RST_STREAM', bytes: [rst(1, 8)], expect: connection(code.protocol) },
  { name: '5.1 idle: refuses WINDOW_UPDATE', bytes: [windowUpdate(1, 1)], expect: connection(code.protocol) },
  {
    name: '5.1 idle: refuses CONTINUATION',
    bytes: [continuation(1, block(get))],
    expect: connection(code.protocol),
  },
  { name: '5.1 half-closed: refuses DATA', bytes: [whole(1), data(1, 'a')], expect: stream(code.closed) },
  { name: '5.1 half-closed: refuses HEADERS', bytes: [whole(1), whole(1)], expect: stream(code.closed) },
  {
    name: '5.1 half-closed: refuses CONTINUATION',
    bytes: [whole(1), continuation(1, block(get))],
    expect: connection(code.protocol, code.closed),
  },
  {
    name: '5.1 half-closed: takes WINDOW_UPDATE, PRIORITY and RST_STREAM',
    bytes: [whole(1), windowUpdate(1, 1), priority(1, 0), rst(1, 8)],
    expect: fine(1),
  },
  {
    name: '5.1 closed by reset: refuses DATA',
    bytes: [open(1), rst(1, 8), data(1, 'a')],
    expect: connection(code.closed),
  },
  {
    name: '5.1 closed by reset: refuses HEADERS',
    bytes: [open(1), rst(1, 8), whole(1)],
    expect: connection(code.closed),
  },
  {
    name: '5.1 closed by reset: refuses CONTINUATION',
    bytes: [open(1), rst(1, 8), continuation(1, block(get))],
    expect: connection(code.protocol, code.closed),
  },
  { name: '5.1 closed: takes PRIORITY', bytes: [open(1), rst(1, 8), priority(1, 0)], expect: fine(1) },
  {
    name: '5.1 closed: takes RST_STREAM and WINDOW_UPDATE',
    bytes: [open(1), rst(1, 8), rst(1, 8), windowUpdate(1, 1)],
    expect: fine(1),
  },
  { name: '5.1 idle: takes PRIORITY', bytes: [priority(7, 0), whole(1)], expect: fine(1) },
  {
    name: '5.1.1 refuses DATA of an even stream',
    bytes: [whole(3), data(2, 'a')],
    expect: connection(code.protocol),
  },
  {
    name: '5.1.1 refuses RST_STREAM of an even stream',
    bytes: [whole(3), rst(2, 8)],
    expect: connection(code.protocol),
  },
  { name: '5.1.1 refuses an even stream', bytes: [whole(2)], expect: connection(code.protocol) },
  {
    name: '5.1.1 refuses a decreasing stream',
    bytes: [whole(5), whole(3)],
    expect: connection(code.protocol, code.closed),
  },
  { name: '5.1.1 takes streams with gaps', bytes: [whole(5), whole(101)], expect: fine(2) },
  {
    name: '5.1.2 refuses a stream over the limit',
    bytes: Array.from({ length: 101 }, (_, i) => headers(1 + 2 * i, short, 4)),
    expect: { stream: [code.refused, code.protocol], id: 201 },
  },
  {
    name: '5.3.1 refuses HEADERS that depend on themselves',
    bytes: [headers(1, Buffer.concat([u32(1), raw('10'), block(get)]), 0x25)],
    expect: connection(code.protocol),
  },
  {
    name: '5.3.1 refuses PRIORITY that depends on itself',
    bytes: [priority(3, 3)],
    expect: connection(code.protocol),
  },
  // §6.1
  { name: '6.1 refuses DATA on stream 0', bytes: [data(0, 'a')], expect: connection(code.protocol) },
  { name: '6.1 takes padded DATA', bytes: [open(1), data(1, raw('03 6162 000000'), 9)], expect: fine(1) },
  {
    name: '6.1 takes DATA of nothing but padding',
    bytes: [open(1), data(1, raw('03 000000'), 9)],
    expect: fine(1),
  },
  {
    name: '6.1 refuses padding over the frame',
    bytes: [open(1), data(1, raw('06 6162 000000'), 9)],
    expect: connection(code.protocol),
  },
  {
    name: '6.1 refuses padding as long as the frame',
    bytes: [open(1), data(1, raw('01'), 9)],
    expect: connection(code.protocol),
  },
  {
    name: '6.1 refuses a padded frame without a length',
    bytes: [open(1), data(1, none, 9)],
    expect: connection(code.size, code.protocol),
  },
  { name: '6.1 takes empty DATA that ends the stream', bytes: [open(1), data(1, none, 1)], expect: fine(1) },
  // §6.2
  { name: '6.2 refuses HEADERS on stream 0', bytes: [whole(0)], expect: connection(code.protocol) },
  {
    name: '6.2 takes padded HEADERS',
    bytes: [headers(1, Buffer.concat([raw('02'), block(get), raw('0000')]), 0x0d)],
    expect: fine(1),
  },
  {
    name: '6.2 takes HEADERS with priority',
    bytes: [headers(1, Buffer.concat([u32(0x8000_0000), raw('ff'), block(get)]), 0x25)],
    expect: fine(1),
  },
  {
    name: '6.2 refuses padding over the frame',
    bytes: [headers(1, Buffer.concat([raw('ff'), short]), 0x0d)],
    expect: connection(code.protocol),
  },
  {
    name: '6.2 refuses padding over the frame, with priority',
    bytes: [headers(1, Buffer.concat([raw('ff 00000000 10'), short]), 0x2d)],
    expect: connection(code.protocol),
  },
  {
    name: '6.2 refuses padding that leaves no room for the priority',
    bytes: [headers(1, Buffer.concat([raw('04 00000000 10'), Buffer.alloc(3)]), 0x2d)],
    expect: connection(code.protocol),
  },
  {
    name: '6.2 refuses padded HEADERS without a length',
    bytes: [headers(1, none, 0x0d)],
    expect: connection(code.size, code.protocol),
  },
  {
    name: '6.2 refuses HEADERS with half a priority',
    bytes: [headers(1, raw('0000'), 0x25)],
    expect: connection(code.size, code.protocol),
  },
  // §6.3
  { name: '6.3 refuses PRIORITY on stream 0', bytes: [priority(0, 1)], expect: connection(code.protocol) },
  {
    name: '6.3 refuses PRIORITY of 4 bytes',
    bytes: [frame(2, 0, 1, Buffer.alloc(4))],
    expect: connection(code.size),
  },
  {
    name: '6.3 refuses PRIORITY of 6 bytes',
    bytes: [frame(2, 0, 1, Buffer.alloc(6))],
    expect: connection(code.size),
  },
  // §6.4
  { name: '6.4 refuses RST_STREAM on stream 0', bytes: [rst(0, 8)], expect: connection(code.protocol) },
  {
    name: '6.4 refuses RST_STREAM of 3 bytes',
    bytes: [open(1), frame(3, 0, 1, Buffer.alloc(3))],
    expect: connection(code.size),
  },
  {
    name: '6.4 refuses RST_STREAM of 5 bytes',
    bytes: [open(1), frame(3, 0, 1, Buffer.alloc(5))],
    expect: connection(code.size),
  },
  { name: '7 takes RST_STREAM with an unknown code', bytes: [open(1), rst(1, 0xff)], expect: fine(1) },
  // §6.5
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
  { name: '6.5 takes empty SETTINGS', bytes: [settings()], expect: fine(0) },
  { name: '6.5.2 refuses ENABLE_PUSH 2', bytes: [settings([[2, 2]])], expect: connection(code.protocol) },
  { name: '6.5.2 takes ENABLE_PUSH 0', bytes: [settings([[2, 0]])], expect: fine(0) },
  {
    name: '6.5.2 refuses INITIAL_WINDOW_SIZE 2^31',
    bytes: [settings([[4, 2 ** 31]])],
    expect: connection(code.flow),
  },
  {
    name: '6.5.2 takes INITIAL_WINDOW_SIZE 2^31 - 1',
    bytes: [settings([[4, 2 ** 31 - 1]])],
    expect: fine(0),
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
  { name: '6.5.2 takes MAX_FRAME_SIZE 2^24 - 1', bytes: [settings([[5, 2 ** 24 - 1]])], expect: fine(0) },
  { name: '6.5.2 ignores an unknown setting', bytes: [settings([[0xff, 1]])], expect: fine(0) },
  {
    name: '6.5.3 takes a name twice',
    bytes: [
      settings([
        [4, 100],
        [4, 1],
      ]),
    ],
    expect: fine(0),
  },
  {
    name: '8441.3 refuses ENABLE_CONNECT_PROTOCOL 2',
    bytes: [settings([[8, 2]])],
    expect: connection(code.protocol),
  },
  {
    name: '8441.3 refuses that ENABLE_CONNECT_PROTOCOL is taken back',
    bytes: [settings([[8, 1]]), settings([[8, 0]])],
    expect: connection(code.protocol),
  },
  // §6.6, §6.7, §6.8
  {
    name: '6.6 refuses PUSH_PROMISE',
    bytes: [open(1), frame(5, 4, 1, Buffer.concat([u32(2), block(get)]))],
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
    name: '6.7 refuses PING of 9 bytes',
    bytes: [frame(6, 0, 0, Buffer.alloc(9))],
    expect: connection(code.size),
  },
  {
    name: '6.7 takes an acknowledgement that nobody asked for',
    bytes: [ping(Buffer.alloc(8), 1)],
    expect: fine(0),
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
  { name: "6.8 serves streams after the client's GOAWAY", bytes: [goaway(0, 0), whole(1)], expect: fine(1) },
  {
    name: '6.8 takes GOAWAY twice, and with a text',
    bytes: [goaway(0, 0), frame(7, 0, 0, Buffer.concat([u32(2 ** 31 - 1, 2), Buffer.from('bye')])), whole(1)],
    expect: fine(1),
  },
  { name: '7 takes GOAWAY with an unknown code', bytes: [goaway(0, 0xff)], expect: fine(0) },
  // §6.9
  {
    name: '6.9 refuses WINDOW_UPDATE of 0 on the connection',
    bytes: [windowUpdate(0, 0)],
    expect: connection(code.protocol),
  },
  {
    name: '6.9 refuses WINDOW_UPDATE of 0 on a stream',
    bytes: [open(1), windowUpdate(1, 0)],
    expect: stream(code.protocol),
  },
  {
    name: '6.9 refuses WINDOW_UPDATE of 3 bytes',
    bytes: [frame(8, 0, 0, Buffer.alloc(3))],
    expect: connection(code.size),
  },
  {
    name: '6.9 refuses WINDOW_UPDATE of 5 bytes on a stream',
    bytes: [open(1), frame(8, 0, 1, Buffer.alloc(5))],
    expect: connection(code.size),
  },
  {
    name: '6.9 ignores the reserved bit of an increment',
    bytes: [windowUpdate(0, 0x8000_0001)],
    expect: fine(0),
  },
  {
    name: '6.9.1 refuses a connection window over 2^31 - 1',
    bytes: [windowUpdate(0, 2 ** 31 - 1)],
    expect: connection(code.flow),
  },
  {
    name: '6.9.1 refuses a stream window over 2^31 - 1',
    bytes: [open(1), windowUpdate(1, 2 ** 31 - 1)],
    expect: stream(code.flow),
  },
  {
    name: '6.9.2 refuses settings that push a window over 2^31 - 1',
    bytes: [open(1), windowUpdate(1, 2 ** 31 - 1 - 65_535), settings([[4, 65_536]])],
    expect: connection(code.flow),
  },
  {
    name: '6.9.1 refuses DATA over the stream window',
    bytes: [open(1), ...Array.from({ length: 5 }, () => data(1, Buffer.alloc(16_384)))],
    expect: { requests: 1 },
  },
  // §6.10
  {
    name: '6.10 takes several CONTINUATION',
    bytes: [
      headers(1, block(get).subarray(0, 3), 1),
      continuation(1, block(get).subarray(3, 9), 0),
      continuation(1, block(get).subarray(9)),
    ],
    expect: fine(1),
  },
  {
    name: '6.10 refuses CONTINUATION of another stream',
    bytes: [headers(1, short, 1), continuation(3, none)],
    expect: connection(code.protocol),
  },
  {
    name: '6.10 refuses CONTINUATION on stream 0',
    bytes: [headers(1, short, 1), continuation(0, none)],
    expect: connection(code.protocol),
  },
  {
    name: '6.10 refuses CONTINUATION after END_HEADERS',
    bytes: [open(1), continuation(1, block(get))],
    expect: connection(code.protocol),
  },
  {
    name: '6.10 refuses CONTINUATION after the last one',
    bytes: [headers(1, short, 1), continuation(1, none), continuation(1, none)],
    expect: connection(code.protocol),
  },
  {
    name: '6.10 refuses CONTINUATION after DATA',
    bytes: [open(1), data(1, 'a'), continuation(1, block(get))],
    expect: connection(code.protocol),
  },
  {
    name: '6.10 takes a block split within a string',
    bytes: [headers(1, short.subarray(0, 5), 1), continuation(1, short.subarray(5))],
    expect: fine(1),
  },
];
