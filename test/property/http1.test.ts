/** HTTP/1.1 under generated and mutated bytes: any split gives the same events, and nothing throws but MeshError. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MeshError } from '../../kit/errors.ts';
import type { RequestHead } from '../../sidecar/codec/codec.ts';
import { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { ChunkedBody } from '../../sidecar/codec/http1/chunked-body.ts';
import { http1 } from '../../sidecar/codec/http1/http1.ts';
import { RequestParser } from '../../sidecar/codec/http1/request-head.ts';
import { requestMode, requestText } from '../../sidecar/codec/http1/serialize.ts';
import { TimerWheel } from '../../sidecar/net/timer-wheel.ts';
import { linesOf, RecordedResponse, RecordingAcceptor, RecordingOwner } from '../support/codec-recorders.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { requestHead } from '../support/fake-codec.ts';
import { FakeConn } from '../support/fake-conn.ts';

const plain = { scheme: 'http', link: false } as const;
/** One memo for all runs: what it learned from one input must not change the reading of another. */
const memo = new FieldMemo(3);

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const tokenChars = [..."!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"];
const token = fc.string({ unit: fc.constantFrom(...tokenChars), minLength: 1, maxLength: 12 });
const vchar = fc
  .integer({ min: 0x21, max: 0xff })
  .filter((c) => c !== 0x7f)
  .map((c) => String.fromCharCode(c));
const value = fc
  .array(fc.oneof({ weight: 9, arbitrary: vchar }, fc.constantFrom(' ', '\t')), { maxLength: 20 })
  .map((chars) => chars.join('').replace(/^[ \t]+|[ \t]+$/g, ''));
/** Names that mean something to the codec are left out: those do not travel as they are. */
const fields = fc.array(
  fc.tuple(token, value).map(([name, text]) => new Field(`x-${name.replaceAll('_', '-')}`, text)),
  { maxLength: 8 },
);
const path = fc
  .string({ unit: fc.constantFrom(...'/abcXYZ012%?&=.-~!$()*+,;:@[]|^{}"<>'), maxLength: 30 })
  .map((rest) => `/${rest}`);
const head: fc.Arbitrary<RequestHead> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'get', 'X-Y'),
  scheme: fc.constant('http' as const),
  authority: fc.constantFrom('a', 'shop.example:8080', '[::1]:80', '127.0.0.1'),
  path,
  fields,
  contentLength: fc.constantFrom(-1, 0, 5, 1_000_000),
  protocol: fc.constant(undefined),
  expectContinue: fc.constant(false),
  acceptsTrailers: fc.constant(false),
});

const vectors = readFileSync('test/data/h1.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { side: string; bytes: string; req?: string });
const requestBytes = vectors.filter(({ side }) => side === 'req').map(({ bytes }) => bytes);
const responseBytes = vectors.filter(({ side }) => side === 'resp').map(({ bytes }) => bytes);

/** One or several small accidents: what an attacker or a bad peer does to a message. */
const accident = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  remove: fc.nat(3),
  insert: fc.oneof(
    fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      '\0',
      ' ',
      '\t',
      ':',
      ',',
      ';',
      '0',
      'chunked',
      '\r\n\r\n',
      'Host: b\r\n',
    ),
    fc.constantFrom(
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      '\xa0',
      '\x0b',
      '\x7f',
      '"',
      '\\',
    ),
  ),
});
const mutated = (base: readonly string[]) =>
  fc.tuple(fc.constantFrom(...base), fc.array(accident, { maxLength: 3 })).map(([bytes, accidents]) => {
    let text = bytes;
    for (const { at, remove, insert } of accidents) {
      const place = Math.floor(at * (text.length + 1));
      text = text.slice(0, place) + insert + text.slice(place + remove);
    }
    return text;
  });

describe('HTTP/1.1 parser', () => {
  it('reads what the serialiser writes as the same head', () => {
    fc.assert(
      fc.property(head, (original) => {
        const end = original.contentLength <= 0;
        const text = requestText(original, requestMode(original, end));
        const parser = new RequestParser(memo);
        assert.equal(parser.parse(latin1(text), 0, plain), text.length);
        const read = parser.head as RequestHead;
        assert.deepEqual(linesOf(read.fields), linesOf(original.fields));
        const expected = { ...original, contentLength: writtenLength(original), fields: [] };
        assert.deepEqual({ ...read, fields: [] }, expected);
      }),
      { numRuns: 500 },
    );
  });

  it('writes a canonical form: what it read of any accepted bytes is read back the same', () => {
    let accepted = 0;
    fc.assert(
      fc.property(mutated(requestBytes), (text) => {
        const first = parseOnce(text);
        if (first === undefined) return;
        accepted++;
        const { head: read, framing } = first;
        const again = requestText(read, requestMode(read, framing === -1 || framing === 0));
        const second = parseOnce(again);
        assert.ok(second !== undefined, again);
        // The hop removes what belongs to it: TE is not asked for again.
        const contentLength = framing === -1 ? writtenLength(read) : read.contentLength;
        const expected = { ...read, contentLength, fields: linesOf(read.fields), acceptsTrailers: false };
        assert.deepEqual({ ...second.head, fields: linesOf(second.head.fields) }, expected);
        assert.equal(second.framing, framing === -1 ? contentLength : framing);
      }),
      { numRuns: 3000 },
    );
    assert.ok(accepted > 300, `only ${accepted} inputs were accepted`);
  });

  /** A body that was not declared is none, which POST, PUT and PATCH say (RFC 9110 §8.6). */
  function writtenLength({ method, contentLength }: RequestHead): number {
    if (contentLength >= 0) return contentLength;
    return ['POST', 'PUT', 'PATCH'].includes(method) ? 0 : -1;
  }

  function parseOnce(text: string): { head: RequestHead; framing: number } | undefined {
    const parser = new RequestParser(memo);
    try {
      if (parser.parse(latin1(text), 0, plain) < 0) return undefined;
    } catch (error) {
      assert.ok(error instanceof MeshError);
      return undefined;
    }
    return { head: parser.head as RequestHead, framing: parser.framing };
  }
});

describe('HTTP/1.1 connections', () => {
  it('hear the same of every request vector, cut in two at any byte', () => {
    for (const bytes of requestBytes) {
      const whole = serverEvents([bytes]);
      for (let at = 1; at < bytes.length; at++) {
        assert.deepEqual(serverEvents([bytes.slice(0, at), bytes.slice(at)]), whole, JSON.stringify(bytes));
      }
      assert.deepEqual(serverEvents([...bytes]), whole, JSON.stringify(bytes));
    }
  });

  it('hear the same of every response vector, cut in two at any byte', () => {
    for (const { side, bytes, req = 'GET' } of vectors) {
      if (side !== 'resp') continue;
      const method = req.split(' ')[0] ?? '';
      const whole = clientEvents([bytes], method);
      for (let at = 1; at < bytes.length; at++) {
        assert.deepEqual(
          clientEvents([bytes.slice(0, at), bytes.slice(at)], method),
          whole,
          JSON.stringify(bytes),
        );
      }
    }
  });

  it('hear the same of broken bytes in any pieces, and never throw', () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });
    fc.assert(
      fc.property(mutated(requestBytes), mutated(responseBytes), cuts, (request, response, places) => {
        assert.deepEqual(serverEvents(pieces(request, places)), serverEvents([request]));
        assert.deepEqual(clientEvents(pieces(response, places), 'GET'), clientEvents([response], 'GET'));
      }),
      { numRuns: 3000 },
    );
  });

  it('survive arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 200 }), (text) => {
        assert.deepEqual(serverEvents([...text]), serverEvents([text]));
        clientEvents([text], 'GET');
      }),
      { numRuns: 500 },
    );
  });
});

describe('chunked coding', () => {
  it('decodes to the same bytes and trailers in any pieces', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 });
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });
    fc.assert(
      fc.property(sizes, cuts, fc.boolean(), (lengths, places, withTrailer) => {
        const body = lengths.map((length, i) => String.fromCharCode(97 + i).repeat(length));
        const text =
          body.map((part) => `${part.length.toString(16)};e="x\\"y"\r\n${part}\r\n`).join('') +
          `0\r\n${withTrailer ? 'X-T: 1\r\nHost: evil\r\n' : ''}\r\n`;
        const decoder = new ChunkedBody(memo);
        let got = '';
        const sink = {
          onBodyData: (data: Buffer) => {
            got += data.toString('latin1');
          },
        };
        for (const piece of pieces(`${text}rest`, places)) {
          decoder.feed(latin1(piece), 0, sink);
        }
        assert.ok(decoder.isEnded);
        assert.equal(got, body.join(''));
        assert.deepEqual(linesOf(decoder.trailers), withTrailer ? ['x-t: 1'] : []);
      }),
    );
  });
});

function pieces(text: string, places: readonly number[]): string[] {
  const cuts = places.map((place) => Math.floor(place * text.length)).sort((a, b) => a - b);
  return [0, ...cuts]
    .map((from, i) => text.slice(from, cuts[i] ?? text.length))
    .filter((piece) => piece !== '');
}

/** What an acceptor and the client at the other end see; requests are answered when they are whole. */
function serverEvents(parts: readonly string[]): unknown {
  const conn = new FakeConn();
  const acceptor = new RecordingAcceptor();
  const timers = new TimerWheel(new FakeClock());
  http1.serve(conn, acceptor, { link: false, idleMs: 1000, timers, memo });
  for (const part of parts) {
    conn.receive(latin1(part));
    answerWhole(acceptor);
  }
  return {
    refused: acceptor.refused,
    requests: acceptor.requests.map((request) => ({
      head: { ...request.head, fields: linesOf(request.head.fields) },
      body: request.body,
      trailers: request.trailers,
      aborted: request.aborted?.code,
    })),
    state: conn.state,
    // The words of a refusal may say what was seen first; its status may not differ.
    written: conn
      .takeWritten()
      .toString('latin1')
      .replace(/(HTTP\/1\.1 [45]\d\d).*/s, '$1'),
  };
}

function answerWhole(acceptor: RecordingAcceptor): void {
  for (let i = 0; i < acceptor.requests.length; i++) {
    const request = acceptor.requests[i];
    if (request?.head.protocol !== undefined || request?.ended) request?.answer();
  }
}

function clientEvents(parts: readonly string[], method: string): unknown {
  const conn = new FakeConn();
  const owner = new RecordingOwner();
  const response = new RecordedResponse();
  const timers = new TimerWheel(new FakeClock());
  const connection = http1.connect(conn, owner, { link: false, idleMs: 1000, timers, memo });
  connection.request(requestHead({ method }), true, response);
  for (const part of parts) conn.receive(latin1(part));
  return {
    informational: response.informational,
    head: response.head && { ...response.head, fields: linesOf(response.head.fields) },
    body: response.body,
    trailers: response.trailers,
    aborted: response.aborted?.code,
    usable: connection.available,
  };
}
