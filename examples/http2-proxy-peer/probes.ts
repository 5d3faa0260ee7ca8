/**
 * Four things that a client or an upstream can do to a proxy, and what a careful one makes of them. Each probe
 * takes a way to put the proxy before an upstream and tells what it saw.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net';

/** A proxy before an upstream on loopback. */
export interface Subject {
  /** Where clients reach the upstream through it. */
  readonly port: number;
}

export interface SubjectOptions {
  readonly upstreamPort: number;
  /** What clients speak to it. */
  readonly clients: 'http1' | 'http2';
  /** What the upstream speaks. */
  readonly upstream: 'http1' | 'http2';
}

export type StartSubject = (options: SubjectOptions) => Promise<Subject>;

export interface Finding {
  readonly ok: boolean;
  /** What was seen, in words. */
  readonly seen: string;
}

export interface Probe {
  readonly name: string;
  readonly run: (start: StartSubject) => Promise<Finding>;
}

const answerMs = 3_000;

export const probes: readonly Probe[] = [
  { name: 'a GET with a body leaves the next client its own request', run: bodyOfGet },
  { name: 'a client cannot take away what the proxy adds, by naming it in Connection', run: connectionNames },
  { name: 'an upstream that answers 700 costs that answer and nothing else', run: oddStatus },
  { name: 'an upstream may speak HTTP/2, trailers included', run: http2Upstream },
];

/** The body's bytes are the head of another request: whoever drops the body and keeps its length eats the next one. */
async function bodyOfGet(start: StartSubject): Promise<Finding> {
  const seen: string[] = [];
  const upstream = createServer((message, response) => {
    seen.push(`${message.method} ${message.url}`);
    // Like most, it answers a GET without waiting for what may follow.
    message.resume();
    response.end(message.url);
  });
  return withUpstream(upstream, async (upstreamPort) => {
    const subject = await start({ upstreamPort, clients: 'http1', upstream: 'http1' });
    const first = await ask(subject.port, '/first', { body: 'x'.repeat(36) });
    const second = await ask(subject.port, '/second', {});
    const ok =
      first.body === '/first' && second.body === '/second' && seen.join() === 'GET /first,GET /second';
    return {
      ok,
      seen: `answers ${first.status} and ${second.status}; the upstream had ${seen.join(', ') || 'nothing'}`,
    };
  });
}

/** What a proxy says of its client must not be for the client to strike out. */
async function connectionNames(start: StartSubject): Promise<Finding> {
  const heads: IncomingMessage['headers'][] = [];
  const upstream = createServer((message, response) => {
    heads.push(message.headers);
    response.end('ok');
  });
  return withUpstream(upstream, async (upstreamPort) => {
    const subject = await start({ upstreamPort, clients: 'http1', upstream: 'http1' });
    const honest = await ask(subject.port, '/', {});
    const added = Object.keys(heads[0] ?? {}).filter((name) => !['host', 'connection'].includes(name));
    const names = [...added, 'heddle-port'].join(', ');
    const sly = await ask(subject.port, '/', { headers: { connection: `close, ${names}` } });
    const lost = added.filter((name) => heads[1]?.[name] === undefined);
    const ok = added.length > 0 && lost.length === 0 && honest.status === 200 && sly.status === 200;
    return {
      ok,
      seen: `the proxy adds ${added.join(', ')}; Connection took away ${lost.join(', ') || 'none'}`,
    };
  });
}

async function oddStatus(start: StartSubject): Promise<Finding> {
  const upstream = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 700 Odd\r\nContent-Length: 2\r\n\r\nhi'));
  });
  return withUpstream(upstream, async (upstreamPort) => {
    const subject = await start({ upstreamPort, clients: 'http2', upstream: 'http1' });
    const status = await statusOverHttp2(subject.port);
    const again = await statusOverHttp2(subject.port);
    const isAlive = await listens(subject.port);
    const ok = isAlive && status === '502' && again === '502';
    return { ok, seen: `${status}, then ${again}; ${isAlive ? 'it lives' : 'its process ended'}` };
  });
}

async function http2Upstream(start: StartSubject): Promise<Finding> {
  const upstream = createHttp2Server();
  const sessions = new Set<{ destroy(): void }>();
  upstream.on('session', (session) => sessions.add(session));
  upstream.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'x-te': String(headers['te']) }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end('ok');
  });
  try {
    return await withUpstream(upstream as unknown as Server, async (upstreamPort) => {
      const subject = await start({ upstreamPort, clients: 'http2', upstream: 'http2' });
      const reply = await callOverHttp2(subject.port);
      const isAlive = await listens(subject.port);
      const ok = reply === '200 te=trailers grpc-status=0' && isAlive;
      return { ok, seen: `${reply}; ${isAlive ? 'it lives' : 'its process ended'}` };
    });
  } finally {
    for (const session of sessions) session.destroy();
  }
}

async function withUpstream(
  upstream: Server | TcpServer,
  run: (port: number) => Promise<Finding>,
): Promise<Finding> {
  const sockets = new Set<{ destroy(): void }>();
  upstream.on('connection', (socket) => sockets.add(socket));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  try {
    return await run((upstream.address() as AddressInfo).port);
  } finally {
    upstream.close();
    for (const socket of sockets) socket.destroy();
  }
}

interface Asked {
  readonly body?: string;
  readonly headers?: Record<string, string>;
}

/** A request on a connection of its own. */
function ask(
  port: number,
  path: string,
  { body, headers = {} }: Asked,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const more = body === undefined ? {} : { 'content-length': String(body.length) };
    const options = { host: '127.0.0.1', port, path, agent: false, headers: { ...headers, ...more } };
    const call = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('close', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    call.setTimeout(answerMs, () => call.destroy());
    call.on('error', () => resolve({ status: 0, body: '' }));
    call.end(body);
  });
}

function statusOverHttp2(port: number): Promise<string> {
  return overHttp2(port, {}, (head) => String(head[':status']));
}

function callOverHttp2(port: number): Promise<string> {
  const headers = { te: 'trailers' };
  return overHttp2(port, headers, (head, trailers) => {
    return `${head[':status']} te=${head['x-te']} grpc-status=${trailers['grpc-status']}`;
  });
}

type Fields = Record<string, unknown>;

async function overHttp2(
  port: number,
  headers: Record<string, string>,
  describe: (head: Fields, trailers: Fields) => string,
): Promise<string> {
  const session: ClientHttp2Session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  try {
    const stream = session.request({ ':path': '/', ...headers });
    stream.on('error', () => {});
    stream.setTimeout(answerMs, () => stream.close());
    let head: Fields | undefined;
    let trailers: Fields = {};
    stream.on('response', (fields) => {
      head = fields;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.resume();
    await new Promise<void>((resolve) => {
      stream.once('close', resolve);
      session.once('close', resolve);
    });
    return head === undefined ? 'no answer' : describe(head, trailers);
  } finally {
    session.destroy();
  }
}

/** Whether anything listens there. */
async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
