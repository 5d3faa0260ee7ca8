/** The commands' side of the HTTP API: one request at a time, every failure as one line that says what to do. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { messageOf } from '../../kit/errors.ts';
import type { ProblemBody } from '../api/shapes.ts';
import type { Connection } from './connection.ts';
import { CommandFailure, refused, refusedByPilot } from './failure.ts';

/** An answer that takes longer than the pilot's own longest deadline does not come. */
const timeoutMs = 90_000;
const maxAnswerBytes = 256 * 1024 * 1024;

export interface PilotClient {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  delete(path: string): Promise<void>;
}

/** Every method throws CommandFailure. */
export function createPilotClient(connection: Connection): PilotClient {
  return {
    get: <T>(path: string) => call(connection, 'GET', path) as Promise<T>,
    post: <T>(path: string, body: unknown) => call(connection, 'POST', path, body) as Promise<T>,
    delete: async (path) => void (await call(connection, 'DELETE', path)),
  };
}

async function call(connection: Connection, method: string, path: string, body?: unknown): Promise<unknown> {
  const reply = await send(connection, method, path, body === undefined ? undefined : JSON.stringify(body));
  let value: unknown;
  try {
    value = reply.text === '' ? undefined : JSON.parse(reply.text);
  } catch {
    throw refused(
      `${connection.url.origin} is no pilot: it answered ${reply.status} with something else than JSON`,
    );
  }
  if (reply.status < 400) return value;
  if (reply.status === 401) {
    throw refused(
      `the pilot at ${connection.url.origin} does not take this token; set HEDDLE_TOKEN or give --token-file`,
    );
  }
  const problem = value as Partial<ProblemBody> | undefined;
  if (typeof problem?.title === 'string' && typeof problem.detail === 'string') {
    throw refusedByPilot(problem as ProblemBody);
  }
  throw refused(`${connection.url.origin} answered ${reply.status}`);
}

function send(
  { url, token, ca }: Connection,
  method: string,
  path: string,
  body: string | undefined,
): Promise<{ status: number; text: string }> {
  const options: RequestOptions & { ca?: string } = {
    method,
    agent: false,
    timeout: timeoutMs,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    },
    ...(ca === undefined ? {} : { ca }),
  };
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = start(new URL(path, url), options, (response) => {
      readAll(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    request.on('error', (error) => reject(unreachable(url, error)));
    request.end(body);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) throw refused(`the pilot's answer is larger than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function unreachable(url: URL, error: Error): CommandFailure {
  const { code } = error as NodeJS.ErrnoException;
  const why = code === 'ECONNREFUSED' ? 'nothing listens there' : messageOf(error) || String(code);
  return new CommandFailure(
    [
      `cannot reach the pilot at ${url.origin}: ${why}; is it running? start it with 'heddle pilot serve' or give --pilot URL`,
    ],
    3,
  );
}
