/** The little that the shop's HTTP services share: JSON in, JSON out, stop when told. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

const maxBodyBytes = 64 * 1024;

/** An answer that is not 200, thrown from anywhere in a handler. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type Handler = (request: IncomingMessage, url: URL, response: ServerResponse) => Promise<unknown>;

/** A server whose handler returns what to send as JSON; undefined where it answered by itself. */
export function createJsonServer(handle: Handler): Server {
  return createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    handle(request, url, response).then(
      (value) => {
        if (value !== undefined) sendJson(response, 200, value);
      },
      (cause: unknown) => {
        const problem = cause instanceof HttpProblem ? cause : new HttpProblem(502, messageOf(cause));
        if (response.headersSent) response.destroy();
        else sendJson(response, problem.status, { error: problem.message });
      },
    );
  });
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

export async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBodyBytes) throw new HttpProblem(413, `more than ${maxBodyBytes} bytes`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new HttpProblem(400, 'the body is not JSON');
  }
}

/** Calls another service; any answer but 2xx is thrown with its status and message. */
export async function callJson(url: string, init: RequestInit = {}): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000), ...init });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  throw new HttpProblem(response.status, `${new URL(url).pathname}: ${text.trim()}`);
}

/** Listens on loopback and ends cleanly on SIGTERM, as any well-behaved service does. */
export function serveUntilTold(server: Server, name: string, port: number): void {
  server.listen(port, '127.0.0.1', () => process.stdout.write(`${name} listens on ${port}\n`));
  process.once('SIGTERM', () => {
    server.close();
    server.closeIdleConnections();
  });
}

function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
}
