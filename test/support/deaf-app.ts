/** An application that hardly reads request bodies until it is told to, over HTTP/1.1 or HTTP/2 without TLS. */
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { TestContext } from 'node:test';
import { defer } from './cleanup.ts';
import { listenForTest } from './http-app.ts';
import { limitKernelBuffer } from './kernel-buffers.ts';

export interface DeafApp {
  readonly port: number;
  /** Requests with a body that have arrived. */
  readonly begun: number;
  /** From now on bodies are read; each is answered with the number of its bytes. */
  listen(): void;
}

interface Body {
  read(size: number): Buffer | null;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end' | 'error', listener: () => void): unknown;
}

/** What it takes of each body in a second: enough to show that it is there. */
const stepBytes = 4096;
const kernelBytes = 64 * 1024;

/** A `POST` has a body, which is read at once if its path is `/now`; anything else is answered with `ok`. */
export async function startDeafApp(
  t: Pick<TestContext, 'after'>,
  protocol: 'http' | 'http2',
): Promise<DeafApp> {
  const waiting = new Set<() => void>();
  let begun = 0;
  const takeAll = (body: Body, got: number, answer: (text: string) => void) => {
    let sum = got;
    body.on('end', () => answer(String(sum)));
    body.on('data', (chunk) => {
      sum += chunk.length;
    });
  };
  const take = (path: string, body: Body, answer: (text: string) => void) => {
    body.on('error', () => {});
    if (path === '/now') {
      takeAll(body, 0, answer);
      return;
    }
    begun++;
    let got = 0;
    const timer = setInterval(() => {
      got += body.read(stepBytes)?.length ?? 0;
    }, 1_000);
    defer(t, () => clearInterval(timer));
    waiting.add(() => {
      clearInterval(timer);
      takeAll(body, got, answer);
    });
  };
  const server =
    protocol === 'http'
      ? createServer((request, response) => {
          if (request.method === 'POST')
            take(request.url ?? '', request, (text) =>
              response.setHeader('content-length', text.length).end(text),
            );
          else response.end('ok');
        })
      : createHttp2Server().on('stream', (stream: ServerHttp2Stream, headers) => {
          stream.on('error', () => {});
          const answer = (text: string) => {
            stream.respond({ ':status': 200, 'content-length': text.length });
            stream.end(text);
          };
          if (headers[':method'] === 'POST') take(headers[':path'] ?? '', stream, answer);
          else answer('ok');
        });
  const port = await listenForTest(t, server);
  limitKernelBuffer(server, 'receive', kernelBytes);
  return {
    port,
    get begun() {
      return begun;
    },
    listen() {
      for (const go of waiting) go();
    },
  };
}
