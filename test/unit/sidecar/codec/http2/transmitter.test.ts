import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../../../../../sidecar/codec/http2/limits.ts';
import { RecordedResponse } from '../../../../support/codec-recorders.ts';
import { readFrames } from '../../../../support/http2-frames.ts';
import { link, plain, playServer, requestHead, type ScriptedServer } from '../../../../support/http2-peer.ts';

const headersType = 1;

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

  it('lets no head wait on a link with few streams, or on other connections', () => {
    const idle = playServer(link);
    assert.equal(sendAndEndTurn(idle, 1), 1);
    assert.equal(sendAndEndTurn(idle, 1), 1);
    const other = playServer(plain);
    assert.equal(sendAndEndTurn(other, limits.gatherFromStreams * 2), limits.gatherFromStreams * 2);
    assert.equal(sendAndEndTurn(other, 1), 1);
  });
});
