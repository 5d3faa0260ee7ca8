/** An application that answers large bodies as fast as they are taken, over HTTP/1.1 or HTTP/2 without TLS. */
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { TestContext } from 'node:test';
import { listenForTest } from './http-app.ts';
import { limitKernelBuffer } from './kernel-buffers.ts';
import { type PourSink, type PourState, pour } from './pour.ts';

export interface BulkApp extends Readonly<PourState> {
  readonly port: number;
}

/** So little that a reader that stops is felt at once. */
const kernelBytes = 64 * 1024;

/** `/bulk/N` is answered with N bytes, anything else with `ok`. */
export async function startBulkApp(
  t: Pick<TestContext, 'after'>,
  protocol: 'http' | 'http2',
): Promise<BulkApp> {
  const state: PourState = { sentBytes: 0, blocked: 0 };
  const answer = (path: string, sink: PourSink) => {
    const size = sizeOf(path);
    if (size > 0) pour(size, sink, state);
    else {
      sink.end(Buffer.from('ok'));
    }
  };
  const server =
    protocol === 'http'
      ? createServer((request, response) => {
          const size = sizeOf(request.url ?? '');
          if (size > 0) response.setHeader('content-length', size);
          answer(request.url ?? '', response);
        })
      : createHttp2Server().on('stream', (stream: ServerHttp2Stream, headers) => {
          stream.on('error', () => {});
          // With trailers, for without them node:http2 now and then resets a stream instead of ending it (RFC 9113 §8.1).
          stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
          const path = headers[':path'] ?? '';
          const length = sizeOf(path) > 0 ? { 'content-length': sizeOf(path) } : {};
          stream.respond({ ':status': 200, ...length }, { waitForTrailers: true });
          answer(path, stream);
        });
  const port = await listenForTest(t, server);
  limitKernelBuffer(server, 'send', kernelBytes);
  return {
    port,
    get sentBytes() {
      return state.sentBytes;
    },
    get blocked() {
      return state.blocked;
    },
  };
}

function sizeOf(path: string): number {
  return Number(/^\/bulk\/(\d+)$/.exec(path)?.[1] ?? 0);
}
