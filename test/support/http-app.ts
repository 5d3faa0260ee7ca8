/** A small application and a small client on plain `node:http`, for tests of what lies between. */
import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import type { TestContext } from 'node:test';
import { defer } from './cleanup.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface App {
  readonly port: number;
  readonly seen: SeenRequest[];
}

/**
 * Answers `METHOD URL BODY-LENGTH`; `/slow` takes 300 ms, `/stream` sends a line every 20 ms and never ends.
 */
export async function startApp(t: Pick<TestContext, 'after'>): Promise<App> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const body = Buffer.concat(chunks).toString('latin1');
      seen.push({ method, url, headers, body });
      response.setHeader('x-app', 'shop');
      if (url.startsWith('/slow')) setTimeout(() => response.end('slow'), 300);
      else if (url.startsWith('/stream')) {
        const timer = setInterval(() => response.write('tick\n'), 20);
        response.on('close', () => clearInterval(timer));
      } else response.end(`${method} ${url} ${body.length}`);
    });
  });
  return { port: await listenForTest(t, server), seen };
}

/** Listens on a free loopback port until the test ends. */
export async function listenForTest(t: Pick<TestContext, 'after'>, server: Server): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(t, async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request on a connection of its own. */
export async function ask(port: number, init: Ask = {}): Promise<Reply> {
  const response = await open(port, init);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString('latin1'),
  };
}

/** The same, with the body left to the caller. */
export async function open(
  port: number,
  { method = 'GET', path = '/', host = 'shop', headers = {}, body }: Ask = {},
): Promise<IncomingMessage> {
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent: false,
    headers: { host, ...headers },
  });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}
