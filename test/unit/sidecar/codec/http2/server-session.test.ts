import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../../kit/errors.ts';
import { Field } from '../../../../../sidecar/codec/field.ts';
import { limits } from '../../../../../sidecar/codec/http2/limits.ts';
import { RecordingAcceptor } from '../../../../support/codec-recorders.ts';
import {
  block,
  data,
  type Frame,
  headers,
  ping,
  preface,
  rst,
  settings,
  windowUpdate,
} from '../../../../support/http2-frames.ts';
import {
  http2Bench,
  link,
  plain,
  playClient,
  responseHead,
  ScriptedPeer,
} from '../../../../support/http2-peer.ts';

const get = block([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
]);
const post = block([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
]);
const oops = new MeshError('internal', 'oops', { origin: 'local' });

const bodyOf = (frames: readonly Frame[]): number =>
  frames.filter((each) => each.type === 0).reduce((sum, each) => sum + each.payload.length, 0);
const increments = (frames: readonly Frame[], stream: number): number =>
  frames
    .filter((each) => each.type === 8 && each.stream === stream)
    .reduce((sum, each) => sum + each.payload.readUInt32BE(0), 0);

describe('ServerSession', () => {
  it('turns a request into a neutral head', () => {
    const { peer, acceptor } = playClient();
    const lines = [
      [':method', 'PUT'],
      [':scheme', 'https'],
      [':path', '/a?b'],
      [':authority', 'A.Test:8080'],
      ['host', 'a.test:8080'],
      ['cookie', 'a=1'],
      ['x-one', 'caf\u00e9'],
      ['cookie', 'b=2'],
      ['cookie', 'c=3'],
      ['te', 'trailers'],
      ['expect', '100-continue'],
      ['content-length', '3'],
      ['heddle-port', '80'],
    ] as const;
    peer.send(headers(1, block(lines), 4));
    const head = acceptor.requests[0]?.head;
    assert.deepEqual(
      { ...head, fields: head?.fields.map(({ line }) => line) },
      {
        method: 'PUT',
        scheme: 'https',
        authority: 'a.test:8080',
        path: '/a?b',
        fields: ['cookie: a=1; b=2; c=3\r\n', 'x-one: caf\u00e9\r\n'],
        contentLength: 3,
        protocol: undefined,
        expectContinue: true,
        acceptsTrailers: true,
      },
    );
  });

  it('keeps heddle- fields on a link', () => {
    const { peer, acceptor } = playClient(link);
    const lines = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'a'],
      ['heddle-port', '80'],
    ] as const;
    peer.send(headers(1, block(lines)));
    assert.deepEqual(
      acceptor.requests[0]?.head.fields.map(({ line }) => line),
      ['heddle-port: 80\r\n'],
    );
  });

  it('takes an authority from host, and * for OPTIONS', () => {
    const { peer, acceptor } = playClient();
    const lines = [
      [':method', 'OPTIONS'],
      [':scheme', 'http'],
      [':path', '*'],
      ['host', 'a.test'],
    ] as const;
    peer.send(headers(1, block(lines)));
    assert.equal(acceptor.requests[0]?.head.authority, 'a.test');
    assert.equal(acceptor.requests[0]?.head.path, '*');
  });

  it('answers in one write: head, body and end', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = ({ stream }) => {
      stream.sendInformational(responseHead(103, [new Field('link', '</a>')]));
      stream.sendResponse(responseHead(200, [new Field('x', 'y')], 5), false);
      stream.sendData(Buffer.from('hello'));
      stream.sendEnd(undefined);
    };
    const frames = peer.send(headers(1, get));
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags]),
      [
        [1, 4],
        [1, 4],
        [0, 1],
      ],
    );
    assert.deepEqual(peer.read(frames[0] as Frame), [':status: 103', 'link: </a>']);
    assert.deepEqual(peer.read(frames[1] as Frame), [':status: 200', 'x: y', 'content-length: 5']);
    assert.equal(frames[2]?.payload.toString(), 'hello');
  });

  it('ends with the head where there is no body, and with trailers where there are some', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = ({ stream }) => stream.sendResponse(responseHead(304), true);
    assert.deepEqual(
      peer.send(headers(1, get)).map(({ type, flags }) => [type, flags]),
      [[1, 5]],
    );
    acceptor.onEach = ({ stream }) => {
      stream.sendResponse(responseHead(), false);
      stream.sendData(Buffer.from('a'));
      stream.sendEnd([new Field('grpc-status', '0')]);
    };
    const frames = peer.send(headers(3, get));
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags]),
      [
        [1, 4],
        [0, 0],
        [1, 5],
      ],
    );
    assert.deepEqual(
      peer.seen.filter((each) => each.type === 1).map((each) => peer.read(each)),
      [[':status: 304'], [':status: 200'], ['grpc-status: 0']],
    );
  });

  it('delivers bodies and trailers', () => {
    const { peer, acceptor } = playClient();
    peer.send(
      headers(1, post, 4),
      data(1, 'ab'),
      data(1, 'cd'),
      headers(
        1,
        block([
          ['x-sum', '4'],
          ['host', 'b'],
        ]),
      ),
    );
    const [request] = acceptor.requests;
    assert.equal(request?.body, 'abcd');
    assert.equal(request?.ended, true);
    assert.deepEqual(request?.trailers, ['x-sum: 4']);
  });

  it('sends no more than the windows allow, and goes on when they grow', () => {
    const { peer, acceptor } = playClient(plain, [[4, 10]]);
    acceptor.onEach = ({ stream }) => {
      stream.sendResponse(responseHead(), false);
      stream.sendData(Buffer.alloc(100));
      stream.sendEnd(undefined);
    };
    assert.equal(bodyOf(peer.send(headers(1, get))), 10);
    assert.equal(bodyOf(peer.send(windowUpdate(1, 1))), 1);
    // A shrunken window becomes negative and is honoured (RFC 9113 §6.9.2).
    assert.equal(bodyOf(peer.send(settings([[4, 0]]))), 0);
    assert.equal(bodyOf(peer.send(windowUpdate(1, 10))), 0);
    assert.equal(bodyOf(peer.send(windowUpdate(1, 5))), 5);
    const last = peer.send(settings([[4, 1000]]));
    assert.equal(bodyOf(last), 84);
    assert.equal(last.find((each) => each.type === 0)?.flags, 1);
  });

  it("says wait when a stream's queue is full, and go on when it has room", () => {
    const { peer, acceptor } = playClient(plain, [[4, 1]]);
    peer.send(headers(1, get));
    const [request] = acceptor.requests;
    request?.stream.sendResponse(responseHead(), false);
    assert.equal(request?.stream.sendData(Buffer.alloc(60_000)), true);
    assert.equal(request?.stream.sendData(Buffer.alloc(60_000)), false);
    peer.send(windowUpdate(1, 60_000));
    assert.equal(request?.writable, 0);
    peer.send(windowUpdate(1, 60_000), windowUpdate(0, 1_000_000));
    assert.equal(request?.writable, 1);
  });

  it('says wait much earlier where the window is shut', () => {
    const { peer, acceptor } = playClient(plain, [[4, 0]]);
    peer.send(headers(1, get));
    const [request] = acceptor.requests;
    request?.stream.sendResponse(responseHead(), false);
    assert.equal(request?.stream.sendData(Buffer.alloc(10_000)), true);
    assert.equal(request?.stream.sendData(Buffer.alloc(10_000)), false);
    peer.send(windowUpdate(1, 20_000));
    assert.equal(request?.writable, 1);
  });

  it('holds heads and DATA back while the socket is full, and nothing else', () => {
    const { peer, acceptor } = playClient(plain, [[4, 1_000_000]]);
    acceptor.onEach = ({ stream }) => {
      stream.sendResponse(responseHead(), false);
      stream.sendData(Buffer.alloc(30_000));
    };
    peer.conn.unsentBytes = 128 * 1024;
    const held = peer.send(headers(1, get), ping());
    assert.equal(bodyOf(held), 0);
    assert.deepEqual(
      held.map(({ type }) => type),
      [6],
    );
    peer.conn.drained();
    const rest = peer.turn();
    assert.equal(rest[0]?.type, 1);
    assert.equal(bodyOf(rest), 30_000);
  });

  it('holds the body for a paused reader and gives no credit meanwhile', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, post, 4));
    const [request] = acceptor.requests;
    request?.stream.pauseRequest();
    const frames = peer.send(
      ...Array.from({ length: 3 }, () => data(1, Buffer.alloc(16_384, 'x'))),
      data(1, 'end', 1),
    );
    assert.equal(increments(frames, 1), 0);
    assert.equal(request?.body, '');
    assert.equal(request?.ended, false);
    request?.stream.resumeRequest();
    assert.equal(request?.body, '');
    peer.turn();
    assert.equal(request?.body.length, 3 * 16_384 + 3);
    assert.equal(request?.ended, true);
  });

  it('grows the window of a stream whose reader keeps up, within the budget', () => {
    const { peer, acceptor } = playClient(link);
    peer.send(headers(1, post, 4));
    let granted = 65_535;
    for (let sent = 0; sent < 2_000_000; sent += 16_384) {
      granted += increments(peer.send(data(1, Buffer.alloc(16_384))), 1);
    }
    assert.ok(granted - 2_000_000 > 1_000_000, `window of ${granted - 2_000_000}`);
    const whole = limits.windowGrowthPerProcess;
    assert.ok(whole - peer.bench.windowBudget.leftBytes > 1_000_000);
    acceptor.requests[0]?.stream.reset(oops);
    assert.equal(peer.bench.windowBudget.leftBytes, whole);
  });

  it("returns a link's credit on receipt, however slow a reader is", () => {
    const { peer, acceptor } = playClient(link);
    let credit: number = limits.linkConnectionWindow;
    for (let i = 0; i < 400; i++) {
      peer.send(headers(1 + 2 * i, post, 4));
      acceptor.requests[i]?.stream.pauseRequest();
      const frames = peer.send(...Array.from({ length: 3 }, () => data(1 + 2 * i, Buffer.alloc(16_384))));
      credit += increments(frames, 0) - 3 * 16_384;
      assert.ok(credit > 0);
    }
  });

  it('asks the client to stop where the answer came before the whole request', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, post, 4), data(1, 'a'));
    const [request] = acceptor.requests;
    request?.stream.sendResponse(responseHead(413), true);
    const frames = peer.turn();
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags]),
      [
        [1, 5],
        [3, 0],
      ],
    );
    assert.equal(frames[1]?.payload.readUInt32BE(0), 0);
    // What the client sent before it knew is dropped without a word.
    assert.deepEqual(peer.send(data(1, 'b'), data(1, 'c', 1)), []);
    assert.equal(request?.body, 'a');
    assert.equal(request?.aborted, undefined);
  });

  it('is as strict with a stream that its answer ended first as with any that is over', () => {
    const answered = () => {
      const played = playClient();
      played.peer.send(headers(1, post, 4));
      played.acceptor.requests[0]?.stream.sendResponse(responseHead(404), true);
      const [, stop] = played.peer.turn();
      assert.deepEqual([stop?.type, stop?.payload.readUInt32BE(0)], [3, 0]);
      return played.peer;
    };
    // What was on its way is no mistake, but after its own reset a client sends nothing more.
    assert.deepEqual(answered().send(data(1, 'late')), []);
    const again = answered().send(Buffer.concat([rst(1, 8), data(1, 'a')]));
    assert.deepEqual([again.at(-1)?.type, again.at(-1)?.payload.readUInt32BE(4)], [7, 5]);
    // Never right, wherever it crosses.
    const [nothing] = answered().send(windowUpdate(1, 0));
    assert.deepEqual([nothing?.type, nothing?.stream, nothing?.payload.readUInt32BE(0)], [3, 1, 1]);
    assert.deepEqual(answered().send(windowUpdate(1, 1)), []);
  });

  it('tells the receiver of a reset, once', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, post, 4), rst(1, 8));
    const [request] = acceptor.requests;
    assert.equal(request?.aborted?.code, 'stream_reset');
    request?.stream.sendResponse(responseHead(), true);
    assert.deepEqual(peer.turn(), []);
  });

  it('resets with a code that fits', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, get), headers(3, get));
    acceptor.requests[0]?.stream.reset(oops);
    acceptor.requests[1]?.stream.reset(new MeshError('stream_refused', 'full', { origin: 'local' }));
    assert.deepEqual(
      peer.turn().map(({ type, stream, payload }) => [type, stream, payload.readUInt32BE(0)]),
      [
        [3, 1, 2],
        [3, 3, 7],
      ],
    );
  });

  it('aborts what is open when the connection is lost', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, get));
    peer.conn.lose(new MeshError('connection_reset', 'gone', { origin: 'downstream' }));
    assert.equal(acceptor.requests[0]?.aborted?.code, 'connection_reset');
    assert.equal(acceptor.closed, 1);
  });

  it('still answers whole requests after FIN', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, get), headers(3, post, 4));
    peer.conn.receiveEnd();
    assert.equal(acceptor.requests[1]?.aborted?.code, 'connection_closed');
    assert.equal(acceptor.requests[0]?.aborted, undefined);
    acceptor.requests[0]?.stream.sendResponse(responseHead(), true);
    assert.ok(peer.turn().some((each) => each.type === 1));
    assert.equal(peer.conn.state, 'closed');
  });

  it('waits in vain for nobody: a client that ended with its windows shut is let go', () => {
    const { peer, acceptor } = playClient();
    peer.send(settings([[4, 0]]), headers(1, get));
    const [request] = acceptor.requests;
    request?.stream.sendResponse(responseHead(), false);
    request?.stream.sendData(Buffer.from('never read'));
    request?.stream.sendEnd(undefined);
    peer.conn.receiveEnd();
    peer.turn();
    assert.equal(peer.conn.state, 'open');
    peer.bench.clock.advance(3000);
    peer.turn();
    assert.equal(peer.conn.state, 'closed');
    assert.equal(request?.aborted?.code, 'idle_timeout');
  });

  it('closes after its idle time', () => {
    const { peer } = playClient({ link: false, idleMs: 20_000 });
    peer.bench.clock.advance(25_000);
    assert.ok(peer.turn().some((each) => each.type === 7));
    peer.bench.clock.advance(2000);
    peer.turn();
    assert.equal(peer.conn.state, 'closed');
  });

  it('gives up on a client that does not acknowledge SETTINGS', () => {
    const peer = new ScriptedPeer(http2Bench());
    peer.bench.codec.serve(peer.conn, new RecordingAcceptor(), peer.bench.options(plain));
    peer.send(preface, settings());
    peer.bench.clock.advance(12_000);
    assert.equal(
      peer
        .turn()
        .find((each) => each.type === 7)
        ?.payload.readUInt32BE(4),
      4,
    );
    assert.equal(peer.conn.state, 'closed');
  });

  it('asks a silent peer and gives up where it stays silent', () => {
    const { peer } = playClient();
    peer.bench.clock.advance(36_000);
    const [question] = peer.turn();
    assert.deepEqual([question?.type, question?.flags], [6, 0]);
    peer.send(ping(question?.payload, 1));
    peer.bench.clock.advance(36_000);
    assert.equal(peer.turn()[0]?.type, 6);
    assert.equal(peer.conn.state, 'open');
    peer.bench.clock.advance(16_000);
    assert.equal(peer.conn.state, 'destroyed');
  });

  it('tunnels bytes of an extended CONNECT, each direction with its own end', () => {
    const { peer, acceptor } = playClient();
    const lines = [
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      [':scheme', 'http'],
      [':path', '/chat'],
      [':authority', 'a'],
    ] as const;
    peer.send(headers(1, block(lines), 4));
    const [request] = acceptor.requests;
    assert.deepEqual(
      [request?.head.method, request?.head.protocol, request?.head.path],
      ['GET', 'websocket', '/chat'],
    );
    request?.stream.sendResponse(responseHead(101), false);
    request?.stream.sendData(Buffer.from('hi'));
    request?.stream.sendEnd(undefined);
    const frames = peer.turn();
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags]),
      [
        [1, 4],
        [0, 1],
      ],
    );
    assert.deepEqual(peer.read(frames[0] as Frame), [':status: 200']);
    peer.send(data(1, 'more', 1));
    assert.equal(request?.body, 'more');
    assert.equal(request?.ended, true);
  });

  it('serves a plain CONNECT', () => {
    const { peer, acceptor } = playClient();
    peer.send(
      headers(
        1,
        block([
          [':method', 'CONNECT'],
          [':authority', 'db.shop:5432'],
        ]),
        4,
      ),
    );
    const head = acceptor.requests[0]?.head;
    assert.deepEqual(
      [head?.method, head?.authority, head?.path, head?.protocol],
      ['CONNECT', 'db.shop:5432', '', undefined],
    );
  });
});
