/** An application that answers large bodies as fast as they are taken, over HTTP/1.1 or HTTP/2 without TLS. */
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { TestContext } from 'node:test';
import { listenForTest } from './http-app.ts';
import { limitKernelBuffer } from './kernel-buffers.ts';

export interface BulkApp {
  readonly port: number;
  /** Body bytes that the other side has taken. */
  readonly sentBytes: number;
  /** Bodies that wait for it to take more. */
  readonly blocked: number;
}

interface Sink {
  write(chunk: Buffer): boolean;
  end(chunk?: Buffer): void;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

/** So little that a reader that stops is felt at once. */
const kernelBytes = 64 * 1024;
const chunk = Buffer.alloc(16 * 1024, 'heddle--');

/** `/bulk/N` is answered with N bytes, anything else with `ok`. */
export async function startBulkApp(
  t: Pick<TestContext, 'after'>,
  protocol: 'http' | 'http2',
): Promise<BulkApp> {
  const state = { sentBytes: 0, blocked: 0 };
  const answer = (path: string, sink: Sink) => {
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

function pour(size: number, sink: Sink, state: { sentBytes: number; blocked: number }): void {
  let left = size;
  let isBlocked = false;
  const unblock = () => {
    if (isBlocked) state.blocked--;
    isBlocked = false;
  };
  const go = () => {
    unblock();
    while (left > 0) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      left -= part.length;
      state.sentBytes += part.length;
      if (left === 0) sink.end(part);
      else if (sink.write(part)) continue;
      if (left === 0) return;
      isBlocked = true;
      state.blocked++;
      sink.once('drain', go);
      return;
    }
  };
  sink.once('close', () => {
    unblock();
    sink.off('drain', go);
  });
  go();
}
