/**
 * What the ledger's requests ask for: HTTP/1.1 with WebSocket, HTTP/2 for gRPC-like streams, and TCP that echoes.
 * The number of whatever may not be done twice is written to a file as soon as it is heard of, so that it is known also
 * of a process that was killed. SIGUSR2 resets every connection.
 *
 *   node ledger-app.ts HTTP-PORT GRPC-PORT TCP-PORT BOOK
 */
import { openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { bytesFor, downloadBytes, hashOf } from '../ledger/bytes.ts';

/** How long `/poll/N` takes. */
const pollMs = 3_000;

const [httpPort, grpcPort, tcpPort] = process.argv.slice(2, 5).map(Number);
const book = openSync(process.argv[5] as string, 'a');
const sockets = new Set<Socket>();

function note(seq: string): void {
  writeSync(book, `${seq}\n`);
}

function keep(socket: Socket): void {
  sockets.add(socket);
  socket.on('error', () => {});
  socket.on('close', () => sockets.delete(socket));
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const [, what, seq = '0'] = (request.url ?? '').split('/');
  const chunks: Buffer[] = [];
  if (request.method === 'POST') note(seq);
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('error', () => {});
  request.on('end', () => {
    if (what === 'download') response.end(bytesFor(Number(seq), downloadBytes));
    else if (what === 'poll') setTimeout(() => response.end(`poll ${seq}`), pollMs);
    else response.end(`echo ${seq} ${hashOf(Buffer.concat(chunks))}`);
  });
});
server.on('connection', keep);
server.on('upgrade', (_request, socket: Socket) => {
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (let end = pingEnd(bytes); end <= bytes.length; end = pingEnd(bytes)) {
      socket.write(pongFor(bytes.subarray(0, end)));
      bytes = bytes.subarray(end);
    }
  });
  socket.on('end', () => socket.end());
});

const grpc = createHttp2Server();
grpc.on('connection', keep);
grpc.on('sessionError', () => {});
grpc.on('stream', (stream: ServerHttp2Stream, headers) => {
  note(String(headers['x-seq']));
  stream.on('error', () => {});
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.pipe(stream);
});

const tcp = createTcpServer({ allowHalfOpen: true }, (socket) => {
  keep(socket);
  socket.once('data', (first: Buffer) => note(first.toString('latin1').split(':')[0] as string));
  socket.pipe(socket);
});

/** Where a small masked ping ends that begins at the first byte. */
function pingEnd(bytes: Buffer): number {
  return bytes.length < 2 ? Number.POSITIVE_INFINITY : 6 + ((bytes[1] as number) & 0x7f);
}

/** The pong to a small masked ping. */
function pongFor(frame: Buffer): Buffer {
  const length = (frame[1] as number) & 0x7f;
  const mask = frame.subarray(2, 6);
  const payload = frame.subarray(6, 6 + length).map((byte, at) => byte ^ (mask[at % 4] as number));
  return Buffer.concat([Buffer.from([0x8a, length]), payload]);
}

process.on('SIGUSR2', () => {
  for (const socket of sockets) socket.resetAndDestroy();
});
let left = 3;
const onListening = () => {
  if (--left === 0) process.stdout.write('listening\n');
};
server.listen(httpPort, '127.0.0.1', onListening);
grpc.listen(grpcPort, '127.0.0.1', onListening);
tcp.listen(tcpPort, '127.0.0.1', onListening);
