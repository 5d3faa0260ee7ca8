/** What the ledger's requests ask for: an application on HTTP/1.1 and one on HTTP/2 for gRPC-like streams. */
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { listenForTest } from './http-app.ts';
import { bytesFor, downloadBytes, hashOf } from './ledger.ts';

/** How long `/poll/N` takes. */
const pollMs = 3_000;

export async function startLedgerApp(
  t: Pick<TestContext, 'after'>,
): Promise<{ readonly http: number; readonly grpc: number }> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const [, what, seq = '0'] = (request.url ?? '').split('/');
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => {});
    request.on('end', () => {
      if (what === 'download') response.end(bytesFor(Number(seq), downloadBytes));
      else if (what === 'poll') setTimeout(() => response.end(`poll ${seq}`), pollMs);
      else response.end(`echo ${seq} ${hashOf(Buffer.concat(chunks))}`);
    });
  });
  server.on('upgrade', (_request, socket: Socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
    socket.on('data', (frame: Buffer) => socket.write(pongFor(frame)));
    socket.on('end', () => socket.end());
  });
  const grpc = createHttp2Server();
  grpc.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.pipe(stream);
  });
  return { http: await listenForTest(t, server), grpc: await listenForTest(t, grpc) };
}

/** The pong to a small masked ping. */
function pongFor(frame: Buffer): Buffer {
  const length = (frame[1] as number) & 0x7f;
  const mask = frame.subarray(2, 6);
  const payload = frame.subarray(6, 6 + length).map((byte, at) => byte ^ (mask[at % 4] as number));
  return Buffer.concat([Buffer.from([0x8a, length]), payload]);
}
