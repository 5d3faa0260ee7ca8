/** Requests, header blocks and beginnings that our server must refuse, as data. */
import { block, data, headers, integer, preface, settings } from '../support/http2-frames.ts';
import { type Case, code, fine, get, type Lines, open, post, raw, short, stream } from './h2-cases.ts';

const connect: Lines = [
  [':method', 'CONNECT'],
  [':authority', 'a.test:1'],
];

/** Bodies, trailers and lengths, after the preface and both SETTINGS. */
export const messageCases: readonly Case[] = [
  // §8.1
  {
    name: '8.1 refuses a second HEADERS without the end',
    bytes: [open(1), headers(1, block([['a', 'b']]), 4)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 takes trailers',
    bytes: [open(1), data(1, 'a'), headers(1, block([['a', 'b']]))],
    expect: fine(1),
  },
  {
    name: '8.1 takes trailers without a body',
    bytes: [open(1), headers(1, block([['a', 'b']]))],
    expect: fine(1),
  },
  {
    name: '8.1 refuses a capital in trailers',
    bytes: [open(1), data(1, 'a'), headers(1, block([['A', 'b']]))],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 refuses trailers over the limit',
    bytes: [open(1), headers(1, block(Array.from({ length: 101 }, () => ['a', 'b'] as const)))],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 refuses a pseudo-header in trailers',
    bytes: [open(1), data(1, 'a'), headers(1, block([[':path', '/b']]))],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 refuses content-length in trailers',
    bytes: [open(1), data(1, 'a'), headers(1, block([['content-length', '1']]))],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 refuses connection in trailers',
    bytes: [open(1), headers(1, block([['connection', 'close']]))],
    expect: stream(code.protocol),
  },
  // §8.5
  {
    name: '8.5 refuses HEADERS in a tunnel',
    bytes: [headers(1, block(connect), 4), data(1, 'a'), headers(1, block([['a', 'b']]))],
    expect: stream(code.protocol),
  },
  {
    name: '8.5 refuses HEADERS in a tunnel of another protocol',
    bytes: [
      headers(1, block([[':method', 'CONNECT'], [':protocol', 'websocket'], ...get.slice(1)]), 4),
      headers(1, block([['a', 'b']])),
    ],
    expect: stream(code.protocol),
  },
  {
    name: '8.5 takes the end of a tunnel',
    bytes: [headers(1, block(connect), 4), data(1, 'a', 1)],
    expect: fine(1),
  },
  // §8.1.1
  {
    name: '8.1.1 refuses more DATA than content-length',
    bytes: [headers(1, block([...post, ['content-length', '1']]), 4), data(1, 'ab', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses less DATA than content-length',
    bytes: [headers(1, block([...post, ['content-length', '3']]), 4), data(1, 'ab', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses DATA where content-length is 0',
    bytes: [headers(1, block([...post, ['content-length', '0']]), 4), data(1, 'a', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 takes content-length 0 without DATA',
    bytes: [headers(1, block([...post, ['content-length', '0']]))],
    expect: fine(1),
  },
  {
    name: '8.1.1 refuses several DATA that differ from content-length',
    bytes: [headers(1, block([...post, ['content-length', '3']]), 4), data(1, 'ab'), data(1, 'cd', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses trailers before content-length is full',
    bytes: [
      headers(1, block([...post, ['content-length', '3']]), 4),
      data(1, 'ab'),
      headers(1, block([['a', 'b']])),
    ],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 takes DATA that equals content-length, padding apart',
    bytes: [headers(1, block([...post, ['content-length', '2']]), 4), data(1, raw('03 6162 000000'), 9)],
    expect: fine(1),
  },
];

const withField = (name: string, value: string): Lines => [...get, [name, value]];
const without = (name: string): Lines => get.filter(([each]) => each !== name);
const replaced = (name: string, value: string): Lines =>
  get.map(([each, old]) => (each === name ? ([each, value] as const) : ([each, old] as const)));
const whole = (id: number): Buffer => headers(id, block(get));

/** A head that no upstream may see a byte of: each is a stream error. RFC 9113 §8.2, §8.3 and the downgrade rules. */
export const badRequests: readonly {
  readonly name: string;
  readonly lines: Lines;
  readonly flags?: number;
}[] = [
  { name: 'a capital in a name', lines: withField('X-Test', 'ok') },
  { name: 'an empty name', lines: withField('', 'ok') },
  { name: 'a colon within a name', lines: withField('x:y', 'ok') },
  { name: 'a space in a name', lines: withField('x y', 'ok') },
  { name: 'CR and LF in a name', lines: withField('x\r\nhost', 'b') },
  { name: 'NUL in a name', lines: withField('x\0', 'b') },
  { name: 'an 8-bit letter in a name', lines: withField('x\u00e9', 'b') },
  { name: 'CR in a value', lines: withField('x', 'a\rb') },
  { name: 'LF in a value', lines: withField('x', 'a\nb') },
  { name: 'CR LF in a value', lines: withField('x', 'a\r\ntransfer-encoding: chunked') },
  { name: 'NUL in a value', lines: withField('x', 'a\0b') },
  { name: 'a control character in a value', lines: withField('x', 'a\u0001b') },
  { name: 'DEL in a value', lines: withField('x', 'a\u007fb') },
  { name: 'a space before a value', lines: withField('x', ' a') },
  { name: 'a space after a value', lines: withField('x', 'a ') },
  { name: 'a tab before a value', lines: withField('x', '\ta') },
  { name: 'a tab after a value', lines: withField('x', 'a\t') },
  { name: 'transfer-encoding', lines: withField('transfer-encoding', 'chunked') },
  { name: 'transfer-encoding in other case', lines: withField('transfer-encoding', 'ChUnKeD') },
  { name: 'a twin of transfer-encoding', lines: withField('transfer_encoding', 'chunked') },
  { name: 'a twin of content-length', lines: withField('content_length', '3') },
  { name: 'connection', lines: withField('connection', 'keep-alive') },
  { name: 'keep-alive', lines: withField('keep-alive', 'timeout=5') },
  { name: 'proxy-connection', lines: withField('proxy-connection', 'keep-alive') },
  { name: 'upgrade', lines: withField('upgrade', 'websocket') },
  { name: 'http2-settings', lines: withField('http2-settings', 'AAMAAABkAAQAAP__') },
  { name: 'te other than trailers', lines: withField('te', 'gzip') },
  { name: 'te with more than trailers', lines: withField('te', 'trailers, gzip') },
  {
    name: 'two content-length',
    lines: [...post, ['content-length', '3'], ['content-length', '3']],
    flags: 4,
  },
  {
    name: 'contradicting content-length',
    lines: [...post, ['content-length', '3'], ['content-length', '4']],
    flags: 4,
  },
  { name: 'content-length with a sign', lines: [...post, ['content-length', '+3']], flags: 4 },
  { name: 'content-length in hex', lines: [...post, ['content-length', '0x3']], flags: 4 },
  { name: 'content-length as a list', lines: [...post, ['content-length', '3, 3']], flags: 4 },
  { name: 'content-length without digits', lines: [...post, ['content-length', '']], flags: 4 },
  {
    name: 'content-length over 2^53',
    lines: [...post, ['content-length', '18446744073709551621']],
    flags: 4,
  },
  { name: 'content-length at the end', lines: withField('content-length', '3') },
  { name: 'host other than :authority', lines: withField('host', 'b.test') },
  { name: 'two host', lines: [...without(':authority'), ['host', 'a'], ['host', 'a']] },
  { name: 'neither :authority nor host', lines: without(':authority') },
  { name: 'an empty :authority', lines: replaced(':authority', '') },
  { name: 'userinfo in :authority', lines: replaced(':authority', 'user@a.test') },
  { name: 'a path in :authority', lines: replaced(':authority', 'a.test/b') },
  { name: 'a space in :authority', lines: replaced(':authority', 'a test') },
  { name: 'NUL in :authority', lines: replaced(':authority', 'a\0.test') },
  { name: 'a port out of range', lines: replaced(':authority', 'a.test:65536') },
  { name: 'a port that is no number', lines: replaced(':authority', 'a.test:8o') },
  { name: 'port 0', lines: replaced(':authority', 'a.test:0') },
  { name: 'an unclosed IPv6 address', lines: replaced(':authority', '[::1') },
  { name: 'a bad host', lines: [...without(':authority'), ['host', 'a\\b']] },
  { name: 'a :path without a slash', lines: replaced(':path', 'x') },
  { name: 'an empty :path', lines: replaced(':path', '') },
  { name: 'an absolute :path', lines: replaced(':path', 'http://b.test/') },
  { name: 'a request line in :path', lines: replaced(':path', '/ HTTP/1.1\r\nX: y') },
  { name: 'a space in :path', lines: replaced(':path', '/a b') },
  { name: 'a fragment in :path', lines: replaced(':path', '/a#b') },
  { name: 'a backslash in :path', lines: replaced(':path', '/a\\..\\b') },
  { name: 'NUL in :path', lines: replaced(':path', '/a\0') },
  { name: '8-bit letters in :path', lines: replaced(':path', '/\u00e9') },
  { name: ':path * for GET', lines: replaced(':path', '*') },
  { name: 'a request line in :method', lines: replaced(':method', 'GET / HTTP/1.1\r\nhost: b\r\n\r\n') },
  { name: 'a :method that is no token', lines: replaced(':method', 'GE:T') },
  { name: 'an empty :method', lines: replaced(':method', '') },
  { name: 'a url in :scheme', lines: replaced(':scheme', 'http://b/?') },
  { name: 'a space in :scheme', lines: replaced(':scheme', 'ht tp') },
  { name: 'an unknown :scheme', lines: replaced(':scheme', 'ftp') },
  { name: 'nothing at all', lines: [] },
  { name: 'no :method', lines: without(':method') },
  { name: 'no :scheme', lines: without(':scheme') },
  { name: 'no :path', lines: without(':path') },
  { name: 'two :method', lines: [[':method', 'GET'], ...get] },
  { name: 'two :scheme', lines: [[':scheme', 'http'], ...get] },
  { name: 'two :path', lines: [[':path', '/'], ...get] },
  { name: 'two :authority', lines: [[':authority', 'a.test'], ...get] },
  { name: 'a pseudo-header after a field', lines: [...get.slice(0, 2), ['x', 'y'], ...get.slice(2)] },
  { name: ':status in a request', lines: [...get, [':status', '200']] },
  { name: 'an unknown pseudo-header', lines: [...get, [':foo', 'bar']] },
  { name: ':protocol without CONNECT', lines: [...get, [':protocol', 'websocket']] },
  {
    name: 'CONNECT with :path',
    lines: [
      [':method', 'CONNECT'],
      [':authority', 'a.test:1'],
      [':path', '/'],
    ],
    flags: 4,
  },
  {
    name: 'CONNECT with :scheme',
    lines: [
      [':method', 'CONNECT'],
      [':authority', 'a.test:1'],
      [':scheme', 'http'],
    ],
    flags: 4,
  },
  { name: 'CONNECT without :authority', lines: [[':method', 'CONNECT']], flags: 4 },
  {
    name: 'extended CONNECT without :path',
    lines: [
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      [':scheme', 'http'],
      [':authority', 'a.test'],
    ],
    flags: 4,
  },
  { name: 'expect other than 100-continue', lines: withField('expect', 'more') },
];

/** Header blocks that break HPACK, on any HEADERS frame: COMPRESSION_ERROR. */
export const badBlocks: readonly { readonly name: string; readonly block: Buffer }[] = [
  { name: 'index 0', block: Buffer.concat([short, raw('80')]) },
  { name: 'an index past the table', block: Buffer.concat([short, raw('c0')]) },
  { name: 'a name index past the table', block: Buffer.concat([short, raw('7f20 0161')]) },
  { name: 'a size update at the end', block: Buffer.concat([short, raw('20')]) },
  { name: 'a size update over SETTINGS', block: Buffer.concat([integer(4097, 31, 0x20), short]) },
  { name: 'huffman padding over 7 bits', block: Buffer.concat([short, raw('00 8207ff 8107')]) },
  { name: 'huffman padding of zeros', block: Buffer.concat([short, raw('00 8107 8100')]) },
  { name: 'end-of-string', block: Buffer.concat([short, raw('000161 84ffffffff')]) },
  { name: 'an integer over 32 bits', block: Buffer.concat([short, raw('ffffffffffff0f')]) },
  { name: 'an integer over 5 bytes', block: Buffer.concat([short, raw('ff80808080808000')]) },
  { name: 'a string beyond the block', block: Buffer.concat([short, raw('000561')]) },
];

/** What comes instead of a proper beginning. */
export const badBeginnings: readonly {
  readonly name: string;
  readonly bytes: readonly Buffer[];
  readonly codes: readonly number[];
}[] = [
  {
    name: 'another preface',
    bytes: [Buffer.from('INVALID CONNECTION PREFACE\r\n\r\n', 'latin1')],
    codes: [code.protocol],
  },
  {
    name: 'HTTP/1.1',
    bytes: [Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n', 'latin1')],
    codes: [code.protocol],
  },
  {
    name: 'a preface with one wrong byte',
    bytes: [Buffer.from('PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n', 'latin1')],
    codes: [code.protocol],
  },
  { name: 'HEADERS before SETTINGS', bytes: [preface, whole(1)], codes: [code.protocol] },
  { name: 'DATA before SETTINGS', bytes: [preface, data(1, 'a')], codes: [code.protocol] },
  { name: 'an acknowledgement before SETTINGS', bytes: [preface, settings([], 1)], codes: [code.protocol] },
];
