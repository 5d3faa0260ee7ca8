/** Answers that are malformed, and some that are not: what an upstream may send on stream 1. RFC 9113 §8. */
import { data } from '../support/http2-frames.ts';
import { code, stream } from './h2-cases.ts';
import { answer, type ClientCase, head, ok, whole, withField } from './h2-client-cases.ts';

export const answerCases: readonly ClientCase[] = [
  {
    name: '8.1 takes 1xx before the answer',
    bytes: [
      head([
        [':status', '103'],
        ['link', '</a>'],
      ]),
      head([[':status', '100']]),
      whole(),
    ],
    expect: answer(200),
  },
  {
    name: '8.1 takes 1xx with a content-length, of no meaning',
    bytes: [
      head([
        [':status', '103'],
        ['content-length', '3'],
      ]),
      whole(),
    ],
    expect: answer(200),
  },
  {
    name: '8.1 refuses DATA after 1xx',
    bytes: [head([[':status', '103']]), data(1, 'a')],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 refuses 1xx after the answer',
    bytes: [head(), head([[':status', '103']])],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 refuses 1xx at the end',
    bytes: [head([[':status', '103']], 5)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1 takes trailers',
    bytes: [head(), data(1, 'a'), whole([['grpc-status', '0']])],
    expect: answer(200, 'a'),
  },
  {
    name: '8.1 refuses trailers without the end',
    bytes: [head(), head([['a', 'b']])],
    expect: stream(code.protocol),
  },
  { name: '8.1 refuses a second answer', bytes: [head(), whole()], expect: stream(code.protocol) },
  {
    name: '8.1.1 refuses more DATA than content-length',
    bytes: [head(withField('content-length', '1')), data(1, 'ab', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses DATA where content-length is 0',
    bytes: [head(withField('content-length', '0')), data(1, 'a', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses trailers before content-length is full',
    bytes: [head(withField('content-length', '3')), data(1, 'ab'), whole([['a', 'b']])],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses two content-length',
    bytes: [whole([...ok, ['content-length', '0'], ['content-length', '0']])],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses less DATA than content-length',
    bytes: [head(withField('content-length', '3')), data(1, 'ab', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 refuses content-length without a body',
    bytes: [whole(withField('content-length', '3'))],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 takes content-length of a HEAD',
    method: 'HEAD',
    bytes: [whole(withField('content-length', '3'))],
    expect: answer(200),
  },
  {
    name: '8.1.1 refuses a body of a HEAD',
    method: 'HEAD',
    bytes: [head(withField('content-length', '3')), data(1, 'abc', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.1.1 takes content-length of a 304',
    bytes: [
      whole([
        [':status', '304'],
        ['content-length', '3'],
      ]),
    ],
    expect: answer(304),
  },
  {
    name: '8.1.1 refuses a body of a 204',
    bytes: [head([[':status', '204']]), data(1, 'abc', 1)],
    expect: stream(code.protocol),
  },
  {
    name: '8.5 refuses HEADERS in a tunnel',
    method: 'CONNECT',
    bytes: [head(), data(1, 'a'), whole([['a', 'b']])],
    expect: stream(code.protocol),
  },
  {
    name: '8.5 takes trailers where there is no tunnel',
    method: 'CONNECT',
    bytes: [head([[':status', '403']]), data(1, 'no'), whole([['a', 'b']])],
    expect: answer(403, 'no'),
  },
  {
    name: '8.2 refuses a capital in a name',
    bytes: [whole(withField('X-A', 'b'))],
    expect: stream(code.protocol),
  },
  { name: '8.2 refuses an empty name', bytes: [whole(withField('', 'b'))], expect: stream(code.protocol) },
  {
    name: '8.2 refuses CR LF in a value',
    bytes: [whole(withField('x', 'a\r\nb'))],
    expect: stream(code.protocol),
  },
  {
    name: '8.2 refuses NUL in a value',
    bytes: [whole(withField('x', 'a\0'))],
    expect: stream(code.protocol),
  },
  {
    name: '8.2.2 refuses connection',
    bytes: [whole(withField('connection', 'close'))],
    expect: stream(code.protocol),
  },
  {
    name: '8.2.2 refuses transfer-encoding',
    bytes: [whole(withField('transfer-encoding', 'chunked'))],
    expect: stream(code.protocol),
  },
  {
    name: '8.2.2 refuses upgrade',
    bytes: [whole(withField('upgrade', 'h2c'))],
    expect: stream(code.protocol),
  },
  { name: '8.3 refuses nothing at all', bytes: [whole([])], expect: stream(code.protocol) },
  { name: '8.3 refuses a missing :status', bytes: [whole([['a', 'b']])], expect: stream(code.protocol) },
  {
    name: '8.3 refuses two :status',
    bytes: [
      whole([
        [':status', '200'],
        [':status', '200'],
      ]),
    ],
    expect: stream(code.protocol),
  },
  {
    name: '8.3 refuses a :status that is no number',
    bytes: [whole([[':status', 'ok!']])],
    expect: stream(code.protocol),
  },
  { name: '8.3 refuses :status 99', bytes: [whole([[':status', '099']])], expect: stream(code.protocol) },
  { name: '8.3 refuses :status 700', bytes: [whole([[':status', '700']])], expect: stream(code.protocol) },
  {
    name: '8.3 refuses a late :status',
    bytes: [
      whole([
        ['a', 'b'],
        [':status', '200'],
      ]),
    ],
    expect: stream(code.protocol),
  },
  {
    name: '8.3 refuses :path in an answer',
    bytes: [
      whole([
        [':status', '200'],
        [':path', '/'],
      ]),
    ],
    expect: stream(code.protocol),
  },
  {
    name: '8.3 refuses :status in trailers',
    bytes: [head(), whole([[':status', '200']])],
    expect: stream(code.protocol),
  },
  { name: '8.6 refuses :status 101', bytes: [head([[':status', '101']])], expect: stream(code.protocol) },
];
