/** A reset below TLS at the worst of moments: between the last look at the connection and our own end. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SocketConn } from '../../../../sidecar/net/socket-conn.ts';
import { RecordingHandler, testServices } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { tlsPair } from '../../../support/tls-pair.ts';

guardLeaks();

interface WithHandle {
  readonly _handle: { getpeername(out: object): number };
}

async function connOverTls(t: TestContext) {
  const { socket, raw, peer, rawPeer } = await tlsPair(t);
  const conn = new SocketConn(socket, testServices(), { origin: 'upstream' });
  const handler = new RecordingHandler();
  conn.setHandler(handler);
  return { conn, handler, raw, peer, rawPeer };
}

describe('a connection over TLS', () => {
  it('is told as cut where the reset comes just before our end', async (t) => {
    const { conn, handler, raw, rawPeer } = await connOverTls(t);
    const handle = (raw as unknown as WithHandle)._handle;
    const { getpeername } = handle;
    // The look that finds all well; what comes next are the alert and our FIN.
    handle.getpeername = (out) => {
      const failure = getpeername.call(handle, out);
      handle.getpeername = getpeername;
      rawPeer.resetAndDestroy();
      return failure;
    };
    conn.write(Buffer.from('all that there is'));
    conn.finish();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error?.code, 'connection_reset');
    assert.equal(handler.ended, false);
  });

  it('ends in good order where both ends come together', async (t) => {
    const { conn, handler, peer } = await connOverTls(t);
    let heard = '';
    peer.on('data', (chunk) => {
      heard += String(chunk);
    });
    peer.end('answer');
    conn.write(Buffer.from('question'));
    conn.finish();
    await eventually(() => handler.closed === 1);
    assert.deepEqual([handler.text, handler.ended, handler.error], ['answer', true, undefined]);
    await eventually(() => heard === 'question');
  });
});
