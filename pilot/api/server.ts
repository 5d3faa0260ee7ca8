/**
 * The pilot's HTTP API. Everything under `/v1/` needs the bearer token; `/healthz` says only that the pilot
 * runs. Plaintext is for loopback; elsewhere it does not listen without a certificate.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIP } from 'node:net';
import type { Clock } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { ChangeApplier } from '../world/apply-changes.ts';
import { isAuthorized } from './access-token.ts';
import { type OperationRoutesOptions, operationRoutes } from './operations.ts';
import { HttpProblem, problemBody, problemFrom } from './problem.ts';
import { resourceRoutes } from './resources.ts';
import { Answer, findRoute, type Route, send } from './router.ts';
import { createWatchApi } from './watch.ts';

export interface ApiOptions extends OperationRoutesOptions {
  readonly applier: ChangeApplier;
  /** What clients must show; `access-token.ts` makes it. */
  readonly token: string;
  readonly listen: ApiListen;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ApiListen {
  /** A literal address or `localhost`. */
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
  /** PEM; needed unless `host` is loopback. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export interface Api {
  /** `http://127.0.0.1:15080`. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** A request with its head, and a whole one; uploads of a full change set over a slow line fit. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 60_000;
const keepAliveTimeoutMs = 5_000;
const maxConnections = 512;
const maxHeaderBytes = 16 * 1024;

const takenHint = 'the port is taken: choose another, or 0 for a free one';

/** Throws MeshError `invalid` where tokens would travel in the clear beyond this machine. */
export function requirePrivacy({ host, tls }: ApiOptions['listen']): void {
  if (tls !== undefined || isLoopback(host)) return;
  throw new MeshError(
    'invalid',
    `the API does not listen on ${host} without TLS: give --http-cert and --http-key, or a loopback address`,
    { origin: 'local' },
  );
}

/** Listens, or throws `invalid` (plaintext beyond loopback) or `unavailable` (the address cannot be had). */
export async function startApi(options: ApiOptions): Promise<Api> {
  const { listen, log } = options;
  requirePrivacy(listen);
  const watches = createWatchApi(options.live, options.clock);
  const routes = [...resourceRoutes(options), ...operationRoutes(options), ...watches.routes];
  const handle: RequestListener = (message, response) => {
    message.on('error', () => {});
    response.on('error', () => {});
    answer(routes, options, message, response).catch((thrown: unknown) => {
      const problem = problemFrom(thrown);
      if (problem.status === 500) {
        const stack = thrown instanceof Error ? thrown.stack : String(thrown);
        log.error('API request failed', { method: message.method, path: pathOf(message), error: stack });
      }
      refuse(message, response, problem);
    });
  };
  const server = createListener(listen, handle);
  let port: number;
  try {
    port = await listening(server, listen);
  } catch (thrown) {
    watches.close();
    throw thrown;
  }
  const shownHost = isIP(listen.host) === 6 ? `[${listen.host}]` : listen.host;
  return {
    url: `${listen.tls === undefined ? 'http' : 'https'}://${shownHost}:${port}`,
    port,
    close() {
      watches.close();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

async function answer(
  routes: readonly Route[],
  { token, live }: ApiOptions,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = pathOf(message);
  const method = message.method === 'HEAD' ? 'GET' : (message.method ?? '');
  if (path === '/healthz') {
    send(response, new Answer(200, { status: 'ok', store: live.isCurrent ? 'current' : 'away' }));
    return;
  }
  if (!isAuthorized(message.headers.authorization, token)) {
    throw new HttpProblem(401, 'unauthorized', 'send the pilot’s API token: authorization: Bearer TOKEN');
  }
  const { handle, params } = findRoute(routes, method, path);
  const query = new URLSearchParams(message.url?.split('?')[1] ?? '');
  const result = await handle({ message, response, params, query });
  if (result instanceof Answer) send(response, result);
  else if (result !== undefined) send(response, new Answer(200, result));
}

function refuse(message: IncomingMessage, response: ServerResponse, problem: HttpProblem): void {
  const headers: Record<string, string> = {};
  if (problem.status === 401) headers['www-authenticate'] = 'Bearer';
  if (problem.status === 503) headers['retry-after'] = '1';
  // What is left of the body is not read: the connection cannot serve another request.
  if (!message.complete) headers['connection'] = 'close';
  send(response, new Answer(problem.status, problemBody(problem), headers), 'application/problem+json');
}

function pathOf(message: IncomingMessage): string {
  return message.url?.split('?')[0] ?? '/';
}

function createListener(listen: ApiListen, handle: RequestListener): Server {
  const limits = {
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    maxHeaderSize: maxHeaderBytes,
  };
  const server =
    listen.tls === undefined
      ? createServer(limits, handle)
      : createTlsServer({ ...limits, ...listen.tls, minVersion: 'TLSv1.2' }, handle);
  server.maxConnections = maxConnections;
  server.on('clientError', (_, socket) => socket.destroy());
  server.on('tlsClientError', () => {});
  return server;
}

function listening(server: Server, { host, port }: ApiListen): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const why = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE' ? takenHint : messageOf(cause);
      const message = `the API cannot listen on ${host}:${port}: ${why}`;
      reject(new MeshError('unavailable', message, { origin: 'local', cause }));
    });
    server.listen({ host, port }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
