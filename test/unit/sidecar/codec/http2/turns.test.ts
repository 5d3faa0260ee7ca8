import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { block, type Frame, headers, windowUpdate } from '../../../../support/http2-frames.ts';
import { link, plain, playClient, responseHead } from '../../../../support/http2-peer.ts';

const get = block([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
]);
const bodyOf = (frames: readonly Frame[]): number =>
  frames.reduce((sum, each) => sum + (each.type === 0 ? each.payload.length : 0), 0);

describe("streams' turns", () => {
  it("shares the connection's window among streams", () => {
    const { peer, acceptor } = playClient(plain, [[4, 1_000_000]]);
    acceptor.onEach = ({ stream }) => {
      stream.sendResponse(responseHead(), false);
      stream.sendData(Buffer.alloc(60_000));
      stream.sendEnd(undefined);
    };
    const first = peer.send(headers(1, get), headers(3, get));
    assert.equal(bodyOf(first), 65_535);
    assert.deepEqual(
      first
        .filter((each) => each.type === 0)
        .map(({ stream }) => stream)
        .slice(0, 4),
      [1, 3, 1, 3],
    );
    assert.equal(bodyOf(peer.send(windowUpdate(0, 1_000_000))), 120_000 - 65_535);
  });

  it('gives streams of a link longer turns, so that what came in one piece goes on in one', () => {
    const { peer, acceptor } = playClient(link, [[4, 1_000_000]]);
    acceptor.onEach = ({ stream }) => {
      stream.sendResponse(responseHead(), false);
      stream.sendData(Buffer.alloc(60_000));
      stream.sendEnd(undefined);
    };
    const sent = peer.send(windowUpdate(0, 1_000_000), headers(1, get), headers(3, get));
    assert.deepEqual(
      sent.filter((each) => each.type === 0).map(({ stream, payload }) => [stream, payload.length]),
      [1, 3].flatMap((stream) => [16_384, 16_384, 16_384, 10_848].map((size) => [stream, size])),
    );
  });
});
