import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../../kit/errors.ts';
import { limits } from '../../../../../sidecar/codec/http2/limits.ts';
import { RecordedResponse } from '../../../../support/codec-recorders.ts';
import { readFrames } from '../../../../support/http2-frames.ts';
import { link, plain, playServer, requestHead, type ScriptedServer } from '../../../../support/http2-peer.ts';

const headersType = 1;
const resetType = 3;

/** Requests of one turn; how many of their heads have left after one end of it. */
function sendAndEndTurn({ peer, client }: ScriptedServer, count: number): number {
  for (let n = 0; n < count; n++) client.request(requestHead(), true, new RecordedResponse());
  peer.bench.flusher.oneTurn();
  return readFrames(peer.conn.takeWritten()).filter(({ type }) => type === headersType).length;
}

describe('Transmitter', () => {
  it('lets the heads of a busy link wait one turn for others, and no longer', () => {
    const server = playServer(link);
    assert.equal(sendAndEndTurn(server, limits.gatherFromStreams), limits.gatherFromStreams);
    assert.equal(sendAndEndTurn(server, 1), 0);
    assert.equal(sendAndEndTurn(server, 2), 3);
    assert.equal(sendAndEndTurn(server, 0), 0);
  });

  it('lets heads wait for room in the socket, in their order', () => {
    const server = playServer(link);
    const { peer, client } = server;
    peer.conn.unsentBytes = limits.unsentBytes;
    assert.equal(sendAndEndTurn(server, 3), 0);
    client.request(requestHead({ path: '/last' }), true, new RecordedResponse());
    assert.deepEqual(peer.turn(), []);
    peer.conn.drained();
    const heads = peer.turn();
    assert.deepEqual(
      heads.map(({ stream }) => stream),
      [1, 3, 5, 7],
    );
    const paths = heads.map((head) => peer.read(head).find((line) => line.startsWith(':path')));
    assert.deepEqual(paths, [':path: /a', ':path: /a', ':path: /a', ':path: /last']);
  });

  it('tells of all streams at once that they are given up, however many a link may have', (t) => {
    const { linkStreams } = limits;
    limits.linkStreams = 16_384;
    t.after(() => {
      limits.linkStreams = linkStreams;
    });
    const { peer, client } = playServer(link);
    const streams = Array.from({ length: 6000 }, () =>
      client.request(requestHead(), true, new RecordedResponse()),
    );
    peer.turn();
    const late = new MeshError('deadline_exceeded', 'late', { origin: 'local' });
    for (const stream of streams) stream.cancel(late);
    assert.equal(peer.turn().filter(({ type }) => type === resetType).length, 6000);
  });

  it('comes to rest where the socket has a higher mark than it', (t) => {
    const { unsentBytes } = limits;
    limits.unsentBytes = 16_384;
    t.after(() => {
      limits.unsentBytes = unsentBytes;
    });
    const { peer, client } = playServer(link);
    peer.conn.unsentBytes = 20_000;
    const stream = client.request(requestHead({ method: 'POST' }), false, new RecordedResponse());
    stream.sendData(Buffer.alloc(1000));
    assert.deepEqual(
      peer.turn().map(({ type }) => type),
      [headersType, 0],
    );
    peer.conn.unsentBytes = 200_000;
    stream.sendData(Buffer.alloc(1000));
    assert.deepEqual(peer.turn(), []);
  });

  it('lets no head wait on a link with few streams, or on other connections', () => {
    const idle = playServer(link);
    assert.equal(sendAndEndTurn(idle, 1), 1);
    assert.equal(sendAndEndTurn(idle, 1), 1);
    const other = playServer(plain);
    assert.equal(sendAndEndTurn(other, limits.gatherFromStreams * 2), limits.gatherFromStreams * 2);
    assert.equal(sendAndEndTurn(other, 1), 1);
  });
});
