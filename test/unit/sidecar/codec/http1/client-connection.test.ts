import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../../kit/errors.ts';
import { Field } from '../../../../../sidecar/codec/field.ts';
import { FieldMemo } from '../../../../../sidecar/codec/field-memo.ts';
import { http1 } from '../../../../../sidecar/codec/http1/http1.ts';
import { TimerWheel } from '../../../../../sidecar/net/timer-wheel.ts';
import { linesOf, RecordedResponse, RecordingOwner } from '../../../../support/codec-recorders.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { requestHead } from '../../../../support/fake-codec.ts';
import { FakeConn } from '../../../../support/fake-conn.ts';

const idleMs = 3000;

function connect() {
  const clock = new FakeClock();
  const conn = new FakeConn();
  const owner = new RecordingOwner();
  const options = { link: false, idleMs, timers: new TimerWheel(clock), memo: new FieldMemo(1) };
  const connection = http1.connect(conn, owner, options);
  const receive = (text: string) => conn.receive(Buffer.from(text, 'latin1'));
  const written = () => conn.takeWritten().toString('latin1');
  const ask = (init = {}, end = true) => {
    const response = new RecordedResponse();
    const stream = connection.request(requestHead(init), end, response);
    return { response, stream };
  };
  return { clock, conn, owner, connection, receive, written, ask };
}

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('HTTP/1.1 client: requests', () => {
  it('writes a head with one host and its own framing', () => {
    const { written, ask } = connect();
    const { stream } = ask(
      { method: 'POST', authority: 'shop:1', path: '/p', fields: [new Field('x', 'y')], contentLength: 2 },
      false,
    );
    stream.sendData(Buffer.from('hi'));
    stream.sendEnd(undefined);
    assert.equal(written(), 'POST /p HTTP/1.1\r\nhost: shop:1\r\nx: y\r\ncontent-length: 2\r\n\r\nhi');
  });

  it('sends a body of unknown length in chunks, with its trailers', () => {
    const { written, ask } = connect();
    const { stream } = ask({ method: 'POST' }, false);
    stream.sendData(Buffer.alloc(17, 'x'));
    stream.sendEnd([new Field('t', '1')]);
    assert.match(written(), /transfer-encoding: chunked\r\n\r\n11\r\nx{17}\r\n0\r\nt: 1\r\n\r\n$/);
  });

  it('says of a POST without a body that it has none, and nothing of a GET', () => {
    const post = connect();
    post.ask({ method: 'POST' });
    assert.match(post.written(), /\r\ncontent-length: 0\r\n\r\n$/);
    const get = connect();
    get.ask({ method: 'GET' });
    assert.doesNotMatch(get.written(), /content-length/);
  });

  it('never ends a body that is shorter than declared', () => {
    const { conn, ask } = connect();
    const { stream, response } = ask({ method: 'POST', contentLength: 5 }, false);
    stream.sendData(Buffer.from('abc'));
    stream.sendEnd(undefined);
    assert.equal(conn.state, 'destroyed');
    assert.equal(response.aborted?.code, 'internal');
  });
});

describe('HTTP/1.1 client: reuse', () => {
  it('is free again after a whole answer', () => {
    const { connection, owner, receive, ask } = connect();
    assert.equal(connection.available, 1);
    const { response } = ask();
    assert.equal(connection.available, 0);
    receive(ok);
    assert.equal(response.body, 'ok');
    assert.deepEqual([response.head?.status, response.trailers], [200, []]);
    assert.equal(connection.available, 1);
    assert.deepEqual(owner.events, ['available']);
  });

  const once: readonly (readonly [why: string, answer: string])[] = [
    ['the upstream says close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['bytes are left over', `${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
    ['it is HTTP/1.0', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok'],
    ['a 204 announces a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n'],
    ['a 204 announces chunks', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ];
  for (const [why, answer] of once) {
    it(`is used no more where ${why}`, () => {
      const { conn, connection, owner, receive, ask } = connect();
      const { response } = ask();
      receive(answer);
      assert.equal(response.body, answer.includes(' 204 ') ? '' : 'ok');
      assert.ok(response.ended);
      assert.equal(connection.available, 0);
      assert.equal(conn.state, 'destroyed');
      assert.deepEqual(owner.events, ['unavailable', 'closed']);
    });
  }

  it('is used no more where the answer came before the request was whole', () => {
    const { conn, receive, ask } = connect();
    const { stream, response } = ask({ method: 'POST', contentLength: 10 }, false);
    receive('HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n');
    assert.equal(response.head?.status, 413);
    assert.equal(conn.state, 'destroyed');
    assert.equal(stream.sendData(Buffer.from('more')), true);
    stream.sendEnd(undefined);
  });

  it('is used no more after an unasked byte or an end while idle, or when idle for long', () => {
    for (const spoil of ['byte', 'end', 'idle'] as const) {
      const { conn, clock, connection, owner, receive, ask } = connect();
      ask();
      receive(ok);
      if (spoil === 'byte') receive('H');
      else if (spoil === 'end') conn.receiveEnd();
      else clock.advance(idleMs + 500);
      assert.equal(connection.available, 0);
      assert.notEqual(conn.state, 'open');
      assert.equal(owner.events[1], 'unavailable');
    }
  });

  it('drains: ends after the answer in flight', () => {
    const { conn, connection, owner, receive, ask } = connect();
    const { response } = ask();
    connection.drain();
    assert.equal(conn.state, 'open');
    receive(ok);
    assert.ok(response.ended);
    assert.deepEqual(owner.events, ['unavailable', 'closed']);
  });
});

describe('HTTP/1.1 client: failures', () => {
  it('may be asked again where a connection that had answered before died without a byte', () => {
    const { conn, receive, ask } = connect();
    ask();
    receive(ok);
    const { response } = ask();
    conn.receiveEnd();
    assert.equal(response.aborted?.retry, 'if_idempotent');
    assert.equal(response.aborted?.origin, 'upstream');
  });

  it('may be asked again only elsewhere where a new one did', () => {
    const { conn, ask } = connect();
    const { response } = ask();
    conn.receiveEnd();
    assert.equal(response.aborted?.retry, 'elsewhere');
  });

  it('is never asked again once a byte of the answer came', () => {
    const { conn, receive, ask } = connect();
    const { response } = ask();
    receive('HTTP/1.1 2');
    conn.destroy(new MeshError('connection_reset', 'reset', { origin: 'upstream', retry: 'if_idempotent' }));
    assert.equal(response.aborted?.code, 'connection_reset');
    assert.equal(response.aborted?.retry, 'never');
  });

  it('tells a cut body from a whole one', () => {
    const cut = connect();
    const { response } = cut.ask();
    cut.receive('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
    cut.conn.receiveEnd();
    assert.equal(response.body, 'hello');
    assert.ok(!response.ended);
    assert.equal(response.aborted?.code, 'connection_closed');
    const whole = connect();
    const second = whole.ask();
    whole.receive('HTTP/1.1 200 OK\r\n\r\nhello');
    whole.conn.receiveEnd();
    assert.ok(second.response.ended);
    assert.equal(second.response.aborted, undefined);
  });

  it('names the upstream where it breaks the protocol', () => {
    const { receive, ask, conn } = connect();
    const { response } = ask();
    receive('HTTP/1.1 200 OK\r\nX : y\r\n\r\n');
    assert.equal(response.aborted?.code, 'malformed_message');
    assert.equal(response.aborted?.origin, 'upstream');
    assert.equal(conn.state, 'destroyed');
  });

  it('hears no more after it was cancelled', () => {
    const { conn, owner, ask } = connect();
    const { stream, response } = ask();
    stream.cancel(new MeshError('deadline_exceeded', 'late', { origin: 'local' }));
    assert.equal(conn.state, 'destroyed');
    assert.equal(response.aborted, undefined);
    assert.deepEqual(owner.events, ['unavailable', 'closed']);
  });
});

describe('HTTP/1.1 client: answers', () => {
  it('passes 1xx on, bounded, and drops what frames them', () => {
    const { receive, ask } = connect();
    const { response } = ask();
    receive(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}`);
    assert.deepEqual(response.informational, [103]);
    assert.deepEqual(linesOf(response.head?.fields), []);
    const flood = connect();
    const second = flood.ask();
    flood.receive('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100));
    assert.equal(second.response.aborted?.code, 'malformed_message');
  });

  it('becomes a tunnel after 101 that was asked for', () => {
    const { conn, written, receive, ask, connection } = connect();
    const { stream, response } = ask({ protocol: 'websocket' }, false);
    assert.match(written(), /sec-websocket-key: .*connection: upgrade\r\nupgrade: websocket\r\n\r\n$/s);
    receive('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nhello');
    assert.equal(response.head?.status, 101);
    assert.equal(response.body, 'hello');
    stream.sendData(Buffer.from('up'));
    assert.equal(written(), 'up');
    assert.equal(connection.available, 0);
    conn.receiveEnd();
    assert.ok(response.ended);
    stream.sendEnd(undefined);
    assert.equal(conn.state, 'finished');
  });

  it('keeps what comes for a tunnel until the upstream agreed, and drops it where it refuses', () => {
    const agreed = connect();
    const first = agreed.ask({ protocol: 'websocket' }, false);
    agreed.written();
    assert.equal(first.stream.sendData(Buffer.from('GET /smug HTTP/1.1\r\n')), false);
    first.stream.sendData(Buffer.from('host: a\r\n\r\n'));
    first.stream.sendEnd(undefined);
    assert.equal(agreed.written(), '');
    agreed.receive('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n');
    assert.equal(agreed.written(), 'GET /smug HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.equal(agreed.conn.state, 'finished');

    const refused = connect();
    const second = refused.ask({ protocol: 'websocket' }, false);
    refused.written();
    second.stream.sendData(Buffer.from('GET /smug HTTP/1.1\r\nhost: a\r\n\r\n'));
    refused.receive('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n');
    assert.equal(refused.connection.available, 1);
    refused.ask({}, true);
    assert.match(refused.written(), /^GET \/ HTTP/);
  });

  it('stays usable after an upgrade was refused', () => {
    const { connection, receive, ask } = connect();
    ask({ protocol: 'websocket' }, false);
    receive('HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n');
    assert.equal(connection.available, 1);
  });
});
