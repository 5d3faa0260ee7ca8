/** Which handler answers a method and path, and the few things all handlers do with `node:http`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshError } from '../../kit/errors.ts';
import { HttpProblem } from './problem.ts';

/** One request body; a change set as JSON fits. */
export const maxBodyBytes = 32 * 1024 * 1024;

export interface ApiRequest {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  /** What stands in the path at the route's `:name`s, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

/** A value is sent as JSON with 200; an Answer as it says; undefined: the handler answers by itself. */
export type Handler = (request: ApiRequest) => unknown | Promise<unknown>;

export class Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** `/v1/nodes/:name`. */
  readonly path: string;
  readonly handle: Handler;
}

export interface Match {
  readonly handle: Handler;
  readonly params: Readonly<Record<string, string>>;
}

/** The handler for a request; throws HttpProblem 404 or 405. */
export function findRoute(routes: readonly Route[], method: string, path: string): Match {
  const steps = path.split('/').map(decodeStep);
  const allowed: string[] = [];
  for (const route of routes) {
    const params = matchPath(route.path.split('/'), steps);
    if (params === undefined) continue;
    if (route.method === method) return { handle: route.handle, params };
    allowed.push(route.method);
  }
  if (allowed.length > 0) throw new HttpProblem(405, 'method', `${path} takes ${allowed.join(', ')}`);
  throw new HttpProblem(404, 'not_found', `there is nothing at ${path}`);
}

function matchPath(pattern: readonly string[], steps: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== steps.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of pattern.entries()) {
    const step = steps[at] ?? '';
    if (part.startsWith(':') && step !== '') params[part.slice(1)] = step;
    else if (part !== step) return undefined;
  }
  return params;
}

function decodeStep(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    throw new HttpProblem(400, 'malformed', `${step} is no part of a path`);
  }
}

/** The whole body as text. Throws HttpProblem 400 and 413. */
export async function readText(message: IncomingMessage): Promise<string> {
  if (Number(message.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new HttpProblem(400, 'malformed', 'the body is not UTF-8');
  }
}

/** The body as a JSON object. Throws HttpProblem 400 and 413. */
export async function readJson(message: IncomingMessage): Promise<Record<string, unknown>> {
  const text = await readText(message);
  let value: unknown;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch (thrown) {
    throw new HttpProblem(400, 'malformed', `the body is no JSON: ${String((thrown as Error).message)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpProblem(400, 'malformed', 'expected a JSON object as body');
  }
  return value as Record<string, unknown>;
}

export function send(response: ServerResponse, answer: Answer, contentType = 'application/json'): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = answer.status === 204 ? '' : `${JSON.stringify(answer.body)}\n`;
  response.writeHead(answer.status, {
    ...(answer.status === 204 ? {} : { 'content-type': contentType }),
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...answer.headers,
  });
  response.end(body);
}

function tooLarge(): MeshError {
  return new MeshError('body_too_large', `the body is larger than ${maxBodyBytes} bytes`, {
    origin: 'downstream',
  });
}
