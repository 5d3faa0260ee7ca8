/** How a server's side of HTTP/2 says goodbye without losing a request: RFC 9113 §6.8. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { block, data, headers, ping, rst, windowUpdate } from '../../../../support/http2-frames.ts';
import { playClient, responseHead } from '../../../../support/http2-peer.ts';

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

describe('ServerSession: drain', () => {
  it('drains: a warning, the last stream after a round trip, then it closes', () => {
    const { peer, acceptor, server } = playClient();
    peer.send(headers(1, get));
    server.drain();
    const [warning, question] = peer.turn();
    assert.equal(warning?.type, 7);
    assert.equal(warning?.payload.readUInt32BE(0), 2 ** 31 - 1);
    assert.equal(question?.type, 6);
    // A request that crossed the warning is still served.
    const [last] = peer.send(headers(3, get), ping(question?.payload, 1));
    assert.deepEqual([last?.type, last?.payload.readUInt32BE(0)], [7, 3]);
    assert.deepEqual(peer.send(headers(5, get)), []);
    assert.equal(acceptor.requests.length, 2);
    for (const { stream } of acceptor.requests) stream.sendResponse(responseHead(), true);
    assert.equal(peer.turn().length, 2);
    assert.equal(peer.conn.state, 'closed');
  });

  it('drains by itself long before its stream ids run out, and still serves that request', () => {
    const { peer, acceptor } = playClient();
    const high = 2 ** 30 + 1;
    const [warning] = peer.send(headers(high, get));
    assert.deepEqual([warning?.type, warning?.payload.readUInt32BE(0)], [7, 2 ** 31 - 1]);
    assert.equal(warning?.payload.readUInt32BE(4), 0);
    acceptor.requests[0]?.stream.sendResponse(responseHead(), true);
    assert.ok(peer.turn().some(({ type, stream }) => type === 1 && stream === high));
  });

  it('drains: what comes on streams after its last word is dropped without harm to the others', () => {
    const { peer, acceptor, server } = playClient();
    peer.send(headers(1, post, 4));
    server.drain();
    const [, question] = peer.turn();
    peer.send(ping(question?.payload, 1));
    peer.send(headers(3, post, 4), data(3, 'abc'), windowUpdate(3, 9), data(3, 'd', 1));
    peer.send(headers(5, post, 4), rst(5, 8));
    assert.equal(peer.conn.state, 'open');
    peer.send(data(1, 'whole', 1));
    const [request] = acceptor.requests;
    assert.equal(request?.body, 'whole');
    request?.stream.sendResponse(responseHead(), true);
    assert.ok(peer.turn().some(({ type, stream }) => type === 1 && stream === 1));
    assert.equal(acceptor.requests.length, 1);
    assert.equal(peer.conn.state, 'closed');
  });

  it('drains: a client has as long to answer the warning as the caller says', () => {
    const { peer, server } = playClient();
    server.drain(5_000);
    peer.turn();
    peer.bench.clock.advance(4_000);
    assert.equal(peer.conn.state, 'open');
    peer.bench.clock.advance(2_000);
    assert.equal(peer.turn()[0]?.type, 7);
    assert.equal(peer.conn.state, 'closed');
  });

  it("drains without the client's help", () => {
    const { peer, server } = playClient();
    server.drain();
    peer.turn();
    peer.bench.clock.advance(1500);
    assert.equal(peer.turn()[0]?.type, 7);
    assert.equal(peer.conn.state, 'closed');
  });
});
