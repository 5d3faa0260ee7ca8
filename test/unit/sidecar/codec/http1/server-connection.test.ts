import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../../kit/errors.ts';
import { Field } from '../../../../../sidecar/codec/field.ts';
import { FieldMemo } from '../../../../../sidecar/codec/field-memo.ts';
import { http1 } from '../../../../../sidecar/codec/http1/http1.ts';
import { limits } from '../../../../../sidecar/codec/http1/limits.ts';
import { TimerWheel } from '../../../../../sidecar/net/timer-wheel.ts';
import { linesOf, type RecordedRequest, RecordingAcceptor } from '../../../../support/codec-recorders.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { FakeConn } from '../../../../support/fake-conn.ts';

const { continueMs, drainIdleMs, headMs, maxPipelinedBytes, writeStallMs } = limits;
const idleMs = 60_000;

function serve(link = false) {
  const clock = new FakeClock();
  const conn = new FakeConn();
  const acceptor = new RecordingAcceptor();
  const options = { link, idleMs, timers: new TimerWheel(clock), memo: new FieldMemo(1) };
  const connection = http1.serve(conn, acceptor, options);
  const receive = (text: string) => conn.receive(Buffer.from(text, 'latin1'));
  const written = () => conn.takeWritten().toString('latin1');
  const request = (at = 0): RecordedRequest => {
    const found = acceptor.requests[at];
    assert.ok(found !== undefined, `request ${at} did not come`);
    return found;
  };
  return { clock, conn, acceptor, connection, receive, written, request };
}

const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const upgrade = get('/chat', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');

describe('HTTP/1.1 server: heads', () => {
  it('yields a neutral head without framing and hop-by-hop fields', () => {
    const { receive, request } = serve();
    receive(
      'POST /p?q HTTP/1.1\r\nHOST: Shop.Example:80\r\nX-A:  1 \t\r\nTE: trailers\r\n' +
        'Connection: TE, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 3\r\nX-A: 2\r\n\r\nabc',
    );
    const { head } = request();
    assert.deepEqual(linesOf(head.fields), ['x-a: 1', 'x-a: 2']);
    assert.equal(head.method, 'POST');
    assert.equal(head.authority, 'shop.example:80');
    assert.equal(head.path, '/p?q');
    assert.equal(head.contentLength, 3);
    assert.equal(head.acceptsTrailers, true);
    assert.equal(request().body, 'abc');
    assert.ok(request().ended);
  });

  it('drops what only sidecars may say to each other, unless a sidecar says it', () => {
    const spoof = 'Heddle-Port: 80\r\nHeddle-X: y\r\nX-Forwarded-Client-Cert: c\r\n';
    const plain = serve();
    plain.receive(get('/', spoof));
    assert.deepEqual(linesOf(plain.request().head.fields), []);
    const link = serve(true);
    link.receive(get('/', spoof));
    assert.deepEqual(linesOf(link.request().head.fields), ['heddle-port: 80', 'heddle-x: y']);
  });

  it('gives the same line the same field object from request to request', () => {
    const { receive, request } = serve();
    for (let i = 0; i < 4; i++) {
      receive(get('/', 'User-Agent: curl/8\r\nAuthorization: Bearer x\r\n'));
      request(i).answer();
    }
    const [, , third, fourth] = [0, 1, 2, 3].map((at) => request(at).head.fields);
    assert.equal(third?.[0], fourth?.[0]);
    assert.ok((third?.[0]?.slot ?? -1) >= 0);
    assert.notEqual(third?.[1], fourth?.[1], 'a secret is shared');
  });

  it('says nothing to another protocol, and a status to what is meant as HTTP', () => {
    for (const [line, answer] of [
      ['INVALID CONNECTION PREFACE', ''],
      ['PROXY TCP4 1.1.1.1 2.2.2.2 1 2', ''],
      ['GET /a PREFACE-OF-SOMETHING', 'HTTP/1.1 400 '],
      ['GET index.html HTTP/1.1', 'HTTP/1.1 400 '],
      ['GET index of.html HTTP/1.1', 'HTTP/1.1 400 '],
    ] as const) {
      const { conn, acceptor, receive, written } = serve();
      receive(`${line}\r\n\r\n`);
      assert.equal(written().slice(0, 13), answer, line);
      assert.notEqual(conn.state, 'open', line);
      assert.equal(acceptor.requests.length, 0);
    }
  });

  it('answers the first fault, in whatever pieces a head comes', () => {
    const head = get('/', `X: y\r\n folded\r\n${'x: y\r\n'.repeat(limits.maxFields)}`);
    for (const pieces of [[head], [...head], head.split(/(?<=\n)/)]) {
      const { receive, written } = serve();
      for (const piece of pieces) receive(piece);
      assert.match(written(), /^HTTP\/1\.1 400 /, `${pieces.length} pieces`);
    }
  });

  it('refuses HEAD without a body', () => {
    for (const [rest, status] of [
      ['/ HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n', 417],
      ['/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx', 400],
    ] as const) {
      const { conn, receive, written } = serve();
      receive(`HEAD ${rest}`);
      assert.match(written(), new RegExp(`^HTTP/1\\.1 ${status} [^\r]*\r\nconnection: close\r\n\r\n$`));
      assert.notEqual(conn.state, 'open');
    }
  });

  it('answers 408 to a head that drips, however steadily', () => {
    const { clock, conn, acceptor, receive, written } = serve();
    receive('GET / HT');
    for (let ms = 0; ms < headMs - 1000; ms += 1000) {
      clock.advance(1000);
      receive('x'.repeat(0));
    }
    assert.equal(conn.state, 'open');
    clock.advance(1500);
    assert.match(written(), /^HTTP\/1\.1 408 .*connection: close\r\n/s);
    assert.equal(conn.state, 'closed');
    assert.deepEqual(acceptor.refused, [408]);
  });

  it('closes an idle connection without a word', () => {
    const { clock, conn, receive, written, request } = serve();
    receive(get('/'));
    request().answer();
    written();
    clock.advance(idleMs - 1000);
    assert.equal(conn.state, 'open');
    clock.advance(1500);
    assert.equal(conn.state, 'closed');
    assert.equal(written(), '');
  });
});

describe('HTTP/1.1 server: exchanges', () => {
  it('answers pipelined requests one after the other', () => {
    const { receive, written, acceptor, request } = serve();
    receive(get('/1') + get('/2') + get('/3'));
    assert.equal(acceptor.requests.length, 1);
    request(0).answer('one');
    request(1).answer('two');
    assert.match(written(), /one.*two$/s);
    assert.equal(request(2).head.path, '/3');
  });

  it('stops reading while too much waits behind a request, and goes on afterwards', () => {
    const { conn, receive, request, acceptor } = serve();
    receive(get('/1'));
    receive(`POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: ${maxPipelinedBytes}\r\n\r\n`);
    receive('x'.repeat(maxPipelinedBytes));
    assert.ok(conn.isPaused);
    request(0).answer();
    assert.ok(!conn.isPaused);
    assert.equal(acceptor.requests.length, 2);
    assert.equal(request(1).body.length, maxPipelinedBytes);
    assert.ok(request(1).ended);
  });

  it('serves what a client asked before it ended, then closes', () => {
    const { conn, receive, written, request } = serve();
    receive(get('/1') + get('/2'));
    conn.receiveEnd();
    request(0).answer('one');
    assert.equal(conn.state, 'open');
    request(1).answer('two');
    assert.match(written(), /one.*connection: close\r\n\r\ntwo$/s);
    assert.equal(conn.state, 'closed');
  });

  it('frames by length, by chunks, or not at all, as status and method want', () => {
    const { receive, written, request } = serve();
    receive(get('/1'));
    request(0).stream.sendResponse({ status: 200, fields: [new Field('x', 'y')], contentLength: -1 }, false);
    request(0).stream.sendData(Buffer.from('hello'));
    request(0).stream.sendEnd([new Field('t', '1')]);
    assert.equal(
      written(),
      'HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: 1\r\n\r\n',
    );
    receive('HEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    request(1).stream.sendResponse({ status: 200, fields: [], contentLength: 7 }, true);
    assert.equal(written(), 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n');
    receive(get('/3'));
    request(2).stream.sendResponse({ status: 204, fields: [], contentLength: -1 }, true);
    assert.equal(written(), 'HTTP/1.1 204 No Content\r\n\r\n');
    receive('GET /4 HTTP/1.0\r\nHost: a\r\n\r\n');
    request(3).stream.sendResponse({ status: 200, fields: [], contentLength: -1 }, false);
    request(3).stream.sendData(Buffer.from('old'));
    request(3).stream.sendEnd(undefined);
    assert.equal(written(), 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nold');
  });

  it('does not let a body that was declared otherwise pass for a whole one', () => {
    const { conn, receive, request } = serve();
    receive(get('/'));
    request().stream.sendResponse({ status: 200, fields: [], contentLength: 5 }, false);
    request().stream.sendData(Buffer.from('abc'));
    request().stream.sendEnd(undefined);
    assert.equal(conn.state, 'destroyed');
  });

  it('resets where the end of the connection would pass for that of a cut body', () => {
    for (const [head, version, isReset] of [
      [{ status: 200, fields: [], contentLength: -1 }, '1.0', true],
      [{ status: 200, fields: [], contentLength: 9 }, '1.0', false],
      [{ status: 200, fields: [], contentLength: -1 }, '1.1', false],
      [{ status: 101, fields: [], contentLength: -1 }, '1.1', true],
    ] as const) {
      const { conn, receive, request } = serve();
      receive(head.status === 101 ? upgrade : `GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
      request().stream.sendResponse({ ...head, fields: [] }, false);
      request().stream.sendData(Buffer.from('abc'));
      request().stream.reset(new MeshError('connection_closed', 'cut', { origin: 'upstream' }));
      assert.deepEqual([conn.state, conn.wasReset], ['destroyed', isReset], `${head.status} to ${version}`);
    }
  });

  it('closes after an early answer, for the rest of the body cannot be told from a request', () => {
    const { conn, receive, request, acceptor, written } = serve();
    receive('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc');
    request().answer('no', 413);
    assert.match(written(), /\r\nconnection: close\r\n/);
    assert.equal(conn.state, 'closed');
    receive('GET /smug HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(acceptor.requests.length, 1);
    assert.equal(request().aborted, undefined);
  });

  it('says 100 itself when nobody else does, once', () => {
    const { clock, receive, written, request } = serve();
    receive('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    assert.equal(request().head.expectContinue, true);
    clock.advance(continueMs + 200);
    assert.equal(written(), 'HTTP/1.1 100 Continue\r\n\r\n');
    request().stream.sendInformational({ status: 100, fields: [], contentLength: -1 });
    assert.equal(written(), '');
    receive('hi');
    assert.ok(request().ended);
  });

  it('closes after a final answer to a client that still waits for 100', () => {
    const { conn, receive, written, request } = serve();
    receive('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    request().answer('no', 403);
    assert.match(written(), /^HTTP\/1\.1 403 .*connection: close\r\n/s);
    assert.equal(conn.state, 'closed');
  });

  it('aborts a request whose body breaks, with 400 where no answer has begun', () => {
    const { conn, receive, written, request } = serve();
    receive('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX');
    assert.equal(request().aborted?.code, 'malformed_message');
    assert.match(written(), /^HTTP\/1\.1 400 /);
    assert.equal(conn.state, 'closed');
  });

  it('answers 408 to a body that drips, but not while we do not read it ourselves', () => {
    const { clock, conn, receive, request } = serve();
    receive('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\na');
    request().stream.pauseRequest();
    clock.advance(60_000);
    assert.equal(conn.state, 'open');
    request().stream.resumeRequest();
    clock.advance(30_000);
    assert.equal(request().aborted?.code, 'request_timeout');
    assert.equal(conn.state, 'closed');
  });

  it('tells a full socket, and gives up a client that never reads', () => {
    const { clock, conn, receive, request } = serve();
    receive(get('/'));
    const { stream } = request();
    stream.sendResponse({ status: 200, fields: [], contentLength: -1 }, false);
    assert.equal(stream.sendData(Buffer.from('a')), true);
    conn.unsentBytes = 200_000;
    assert.equal(stream.sendData(Buffer.from('b')), false);
    conn.drained();
    assert.equal(request().writable, 1);
    conn.unsentBytes = 200_000;
    assert.equal(stream.sendData(Buffer.from('c')), false);
    clock.advance(writeStallMs + 500);
    assert.equal(conn.state, 'destroyed');
    assert.equal(request().aborted?.code, 'idle_timeout');
  });

  it('aborts what is in flight when the client goes away', () => {
    const { conn, receive, request, acceptor } = serve();
    receive(get('/'));
    conn.destroy();
    assert.equal(request().aborted?.code, 'connection_closed');
    assert.equal(acceptor.closed, 1);
    request().answer();
  });

  it('drains: the request in flight is answered with connection: close', () => {
    const { conn, connection, receive, written, request } = serve();
    receive(get('/'));
    connection.drain();
    request().answer();
    assert.match(written(), /connection: close/);
    assert.equal(conn.state, 'closed');
  });

  it('drains: a request that was on its way to an idle connection is still answered', () => {
    const first = serve();
    first.connection.drain();
    first.receive(get('/'));
    first.request().answer();
    assert.match(first.written(), /connection: close/);
    const second = serve();
    second.connection.drain();
    second.clock.advance(drainIdleMs + 500);
    assert.equal(second.conn.state, 'closed');
  });

  it('drains: after a response that had begun before, the connection takes the request that was promised', () => {
    const { conn, connection, receive, written, acceptor } = serve();
    receive(get('/1'));
    const first = acceptor.requests[0]?.stream;
    first?.sendResponse({ status: 200, fields: [], contentLength: 1 }, false);
    connection.drain(30_000);
    first?.sendData(Buffer.from('a'));
    first?.sendEnd(undefined);
    assert.equal(conn.state, 'open');
    assert.doesNotMatch(written(), /connection: close/);
    receive(get('/2'));
    acceptor.requests[1]?.answer();
    assert.match(written(), /connection: close/);
    assert.equal(conn.state, 'closed');
  });

  it('drains: an idle connection is kept as long as the caller says, or says later if that is shorter', () => {
    const patient = serve();
    patient.connection.drain(30_000);
    patient.clock.advance(29_000);
    patient.connection.drain(60_000);
    assert.equal(patient.conn.state, 'open');
    patient.clock.advance(1_500);
    assert.equal(patient.conn.state, 'closed');
    const hurried = serve();
    hurried.connection.drain(30_000);
    hurried.connection.drain();
    hurried.clock.advance(drainIdleMs + 500);
    assert.equal(hurried.conn.state, 'closed');
  });

  it('drains: pipelined requests that came before are all answered, the last with connection: close', () => {
    const { conn, connection, receive, written, acceptor } = serve();
    receive(get('/1') + get('/2') + get('/3'));
    connection.drain();
    for (let at = 0; at < 3; at++) acceptor.requests[at]?.answer();
    assert.equal(acceptor.requests.length, 3);
    const text = written();
    assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 3);
    assert.equal(text.match(/connection: close/g)?.length, 1);
    assert.ok(text.lastIndexOf('HTTP/1.1') < text.indexOf('connection: close'));
    assert.equal(conn.state, 'closed');
  });

  it('drains: what came behind a request for an upgrade belongs to the tunnel, which goes on', () => {
    const { conn, connection, receive, request } = serve();
    receive(`${upgrade}early`);
    connection.drain();
    request().stream.sendResponse({ status: 101, fields: [], contentLength: -1 }, false);
    assert.equal(conn.isPaused, false);
    receive(' late');
    assert.equal(request().body, 'early late');
  });

  it('drains: a pipelined body that its reader holds back stays held back', () => {
    const { conn, connection, receive, acceptor } = serve();
    receive(`${get('/1')}POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc`);
    connection.drain();
    assert.equal(conn.isPaused, true);
    acceptor.onEach = ({ stream }) => stream.pauseRequest();
    acceptor.requests[0]?.answer();
    assert.equal(conn.isPaused, true);
    acceptor.requests[1]?.stream.resumeRequest();
    assert.equal(conn.isPaused, false);
  });

  it('drains: a pipelined request that came in part is read to its end', () => {
    const { conn, connection, receive, written, acceptor } = serve();
    const second = get('/2');
    receive(get('/1') + second.slice(0, 7));
    connection.drain();
    acceptor.requests[0]?.answer();
    assert.equal(conn.state, 'open');
    receive(second.slice(7));
    acceptor.requests[1]?.answer();
    assert.equal(written().match(/connection: close/g)?.length, 1);
    assert.equal(conn.state, 'closed');
  });
});

describe('HTTP/1.1 server: upgrade', () => {
  it('passes bytes both ways after 101, also those that came before it, and ends each way alone', () => {
    const { conn, receive, written, request } = serve();
    receive(`${upgrade}early`);
    const tunnel = request();
    assert.equal(tunnel.head.protocol, 'websocket');
    assert.equal(tunnel.body, '');
    tunnel.stream.sendResponse({ status: 101, fields: [], contentLength: -1 }, false);
    assert.equal(
      written(),
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    );
    receive(' late');
    assert.equal(tunnel.body, 'early late');
    tunnel.stream.sendData(Buffer.from('down'));
    assert.equal(written(), 'down');
    conn.receiveEnd();
    assert.ok(tunnel.ended);
    assert.equal(conn.state, 'open');
    tunnel.stream.sendEnd(undefined);
    assert.equal(conn.state, 'finished');
    conn.destroy();
    assert.equal(tunnel.aborted, undefined);
  });

  it('takes what follows a refused upgrade for a request', () => {
    const { receive, request } = serve();
    receive(upgrade + get('/next'));
    request(0).answer('no', 426);
    assert.equal(request(1).head.path, '/next');
  });
});
