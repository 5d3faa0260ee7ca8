/** A reset below TLS at the worst of moments: between the last look at the connection and our own end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls';
import { SocketConn } from '../../../../sidecar/net/socket-conn.ts';
import { createTestMesh } from '../../../support/certificates.ts';
import { defer } from '../../../support/cleanup.ts';
import { RecordingHandler, testServices } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { listenForTest } from '../../../support/http-app.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

interface WithHandle {
  readonly _handle: { getpeername(out: object): number };
}

/** Both ends of a connection over TLS, and the TCP sockets below them. */
async function tlsPair(t: TestContext) {
  const { privateKey: key, certificateChain: cert } = await (await createTestMesh()).bundle('shop');
  const rawPeers: Socket[] = [];
  const server = createServer({ key, cert, allowHalfOpen: true });
  server.on('connection', (socket: Socket) => rawPeers.push(socket));
  const port = await listenForTest(t, server);
  const raw = connect({ port, host: '127.0.0.1' });
  const client = connectTls({ socket: raw, rejectUnauthorized: false });
  defer(t, () => void client.destroy());
  const [[peer]] = (await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')])) as [
    [TLSSocket],
    unknown,
  ];
  peer.on('error', () => {});
  client.allowHalfOpen = true;
  const conn = new SocketConn(client, testServices(), { origin: 'upstream' });
  const handler = new RecordingHandler();
  conn.setHandler(handler);
  return { conn, handler, raw, peer, rawPeer: rawPeers[0] as Socket };
}

describe('a connection over TLS', () => {
  it('is told as cut where the reset comes just before our end', async (t) => {
    const { conn, handler, raw, rawPeer } = await tlsPair(t);
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
    const { conn, handler, peer } = await tlsPair(t);
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
