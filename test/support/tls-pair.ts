/** Both ends of a connection over TLS, and the TCP sockets below them. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls';
import { createTestMesh } from './certificates.ts';
import { defer } from './cleanup.ts';
import { listenForTest } from './http-app.ts';

export interface TlsPair {
  /** Half-open, as a `SocketConn` wants it. */
  readonly socket: TLSSocket;
  readonly raw: Socket;
  readonly peer: TLSSocket;
  readonly rawPeer: Socket;
}

export async function tlsPair(t: TestContext): Promise<TlsPair> {
  const { privateKey: key, certificateChain: cert } = await (await createTestMesh()).bundle('shop');
  const rawPeers: Socket[] = [];
  const server = createServer({ key, cert, allowHalfOpen: true });
  server.on('connection', (socket: Socket) => rawPeers.push(socket));
  const port = await listenForTest(t, server);
  const raw = connect({ port, host: '127.0.0.1' });
  const socket = connectTls({ socket: raw, rejectUnauthorized: false });
  defer(t, () => void socket.destroy());
  const [[peer]] = (await Promise.all([once(server, 'secureConnection'), once(socket, 'secureConnect')])) as [
    [TLSSocket],
    unknown,
  ];
  peer.on('error', () => {});
  socket.allowHalfOpen = true;
  return { socket, raw, peer, rawPeer: rawPeers[0] as Socket };
}
