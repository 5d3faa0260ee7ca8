/** What applications speak, through a pair of sidecars: upgrades, streams, trailers, 1xx, and HTTP/2 on either end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { defer } from '../support/cleanup.ts';
import { ask, listenForTest, open, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks();

async function pairTo(t: TestContext, appPort: number, protocol: 'http' | 'http2' = 'http') {
  return startStaticPair(t, { ports: [{ port: 80, appPort, protocol }] });
}

/** Reads from a socket until `pattern` is there. */
async function readUntil(socket: Socket, pattern: RegExp, soFar = ''): Promise<string> {
  let text = soFar;
  while (!pattern.test(text)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    text += chunk.toString('latin1');
  }
  return text;
}

function dial(t: TestContext, port: number): Socket {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.on('error', () => {});
  defer(t, () => {
    socket.destroy();
  });
  return socket;
}

function openHttp2(t: TestContext, port: number): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  defer(t, async () => {
    session.destroy();
  });
  return session;
}

async function askHttp2(session: ClientHttp2Session, headers: Record<string, string>, body?: string) {
  const stream = session.request({ ':authority': 'shop', ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  const trailers: Record<string, unknown> = {};
  stream.on('trailers', (fields: Record<string, unknown>) => Object.assign(trailers, fields));
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return { head, text, trailers };
}

describe('protocols through a pair of sidecars', () => {
  it('opens a WebSocket-like tunnel after the application agreed, bytes both ways, half-close kept', async (t) => {
    const server = createServer();
    server.on('upgrade', (_request, socket: Socket) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst',
      );
      socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
      socket.on('end', () => socket.end('last'));
    });
    const pair = await pairTo(t, await listenForTest(t, server));
    const socket = dial(t, pair.outboundPort);
    socket.write(
      'GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    const head = await readUntil(socket, /first$/);
    assert.match(head, /^HTTP\/1\.1 101 /);
    assert.match(head, /sec-websocket-accept: x/i);
    socket.write('hello');
    await readUntil(socket, /HELLO$/);
    socket.end();
    assert.match(await readUntil(socket, /last$/), /last$/);
    await once(socket, 'end');
  });

  it('opens a WebSocket to an application that speaks HTTP/2, and proves it to a caller that does not', async (t) => {
    const server = createHttp2Server({ settings: { enableConnectProtocol: true } });
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.respond({ ':status': 200, 'sec-websocket-protocol': String(headers['sec-websocket-protocol']) });
      stream.on('data', (chunk: Buffer) => stream.write(chunk.toString().toUpperCase()));
      stream.on('end', () => stream.end('last'));
    });
    const appPort = await listenForTest(t, server as unknown as ReturnType<typeof createServer>);
    const pair = await pairTo(t, appPort, 'http2');
    const socket = dial(t, pair.outboundPort);
    // The key of RFC 6455 §1.3, and its answer.
    socket.write(
      'GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n',
    );
    const head = await readUntil(socket, /\r\n\r\n/);
    assert.match(head, /^HTTP\/1\.1 101 .*\r\nsec-websocket-protocol: chat\r\n/s);
    assert.match(head, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
    socket.write('hello');
    await readUntil(socket, /HELLO$/);
    socket.end();
    assert.match(await readUntil(socket, /last$/), /last$/);
    await once(socket, 'end');
  });

  it('answers a refused upgrade like any other request', async (t) => {
    const server = createServer();
    server.on('upgrade', (_request, socket: Socket) =>
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
    );
    const pair = await pairTo(t, await listenForTest(t, server));
    const reply = await ask(pair.outboundPort, { headers: { connection: 'Upgrade', upgrade: 'websocket' } });
    assert.deepEqual([reply.status, reply.body], [403, 'no']);
  });

  it('answers an upgrade that the application leaves alone, and serves what follows', async (t) => {
    // Without a listener for upgrades node serves such a request like any other.
    const { port } = await startApp(t);
    const pair = await pairTo(t, port);
    const socket = dial(t, pair.outboundPort);
    socket.write('GET /one HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.write('GET /two HTTP/1.1\r\nHost: shop\r\n\r\n');
    const text = await readUntil(socket, /GET \/two 0/);
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+|GET \S+/g), [
      'HTTP/1.1 200',
      'GET /one',
      'HTTP/1.1 200',
      'GET /two',
    ]);
    assert.doesNotMatch(text, /heddle-|upgrade/i);

    // To HTTP/2 success would be the tunnel.
    const session = openHttp2(t, pair.outboundPort);
    await once(session, 'remoteSettings');
    const { head } = await askHttp2(
      session,
      { ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':path': '/' },
      '',
    );
    assert.equal(head[':status'], 502);
    assert.equal(head['heddle-status'], undefined);
  });

  it('resets a caller of HTTP/1.0 where the body is cut, for its end would look like the whole', async (t) => {
    const server = createServer((_request, response) => {
      response.write('half', () => response.destroy());
    });
    const pair = await pairTo(t, await listenForTest(t, server));
    const socket = dial(t, pair.outboundPort);
    const how = new Promise<string>((resolve) => {
      socket.once('end', () => resolve('ended'));
      socket.once('error', ({ message }) => resolve(message));
    });
    socket.resume().write('GET / HTTP/1.0\r\nHost: shop\r\n\r\n');
    assert.match(await how, /ECONNRESET/);
  });

  it('forwards the first byte of a stream before the next exists', async (t) => {
    const { port } = await startApp(t);
    const pair = await pairTo(t, port);
    const stream = await open(pair.outboundPort, { path: '/stream' });
    const [first] = (await once(stream, 'data')) as [Buffer];
    assert.match(first.toString(), /^tick\n/);
    stream.destroy();
  });

  it('carries trailers of chunked messages both ways', async (t) => {
    let received: IncomingMessage['trailers'] = {};
    const server = createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        received = request.trailers;
        response.setHeader('trailer', 'x-sum');
        response.write('body');
        response.addTrailers({ 'x-sum': '42' });
        response.end();
      });
    });
    const pair = await pairTo(t, await listenForTest(t, server));
    const request = httpRequest({
      host: '127.0.0.1',
      port: pair.outboundPort,
      method: 'POST',
      headers: { host: 'shop', trailer: 'x-check' },
      agent: false,
    });
    request.write('data');
    request.addTrailers({ 'x-check': 'yes' });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    assert.equal(received['x-check'], 'yes');
    assert.equal(response.trailers['x-sum'], '42');
  });

  it('passes on 100-continue and early hints', async (t) => {
    const server = createServer();
    server.on('checkContinue', (request, response) => {
      response.writeContinue();
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      request.resume();
      request.on('end', () => response.end('done'));
    });
    const pair = await pairTo(t, await listenForTest(t, server));
    const request = httpRequest({
      host: '127.0.0.1',
      port: pair.outboundPort,
      method: 'PUT',
      headers: { host: 'shop', expect: '100-continue', 'content-length': '4' },
      agent: false,
    });
    const informed: { statusCode: number; headers: Record<string, string> }[] = [];
    request.on('information', (info: (typeof informed)[0]) => informed.push(info));
    request.flushHeaders();
    await once(request, 'continue');
    request.end('body');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const hint = informed.find(({ statusCode }) => statusCode === 103);
    assert.equal(hint?.headers['link'], '</a.css>; rel=preload');
    response.resume();
    await once(response, 'end');
    assert.equal(response.statusCode, 200);
  });

  it('takes HTTP/2 from the application where its service speaks HTTP/1.1', async (t) => {
    const { port, seen } = await startApp(t);
    const pair = await pairTo(t, port);
    const session = openHttp2(t, pair.outboundPort);
    const replies = await Promise.all(
      ['/a', '/b', '/c'].map((path) =>
        askHttp2(session, { ':path': path, ':method': 'POST', cookie: 'a=1; b=2' }, 'xyz'),
      ),
    );
    assert.deepEqual(replies.map(({ text }) => text).sort(), ['POST /a 3', 'POST /b 3', 'POST /c 3']);
    assert.deepEqual(
      seen.map(({ headers }) => headers.host),
      ['shop', 'shop', 'shop'],
    );
    assert.equal(seen[0]?.headers.cookie, 'a=1; b=2');
  });

  it('opens no tunnel but a WebSocket: CONNECT and h2c are refused, and the application hears of neither', async (t) => {
    const { port, seen } = await startApp(t);
    const pair = await pairTo(t, port);
    const session = openHttp2(t, pair.outboundPort);
    await once(session, 'remoteSettings');
    const tunnel = await askHttp2(session, { ':method': 'CONNECT' }, '');
    assert.deepEqual([tunnel.head[':status'], tunnel.text], [405, 'CONNECT is not carried here\n']);
    const target = { ':scheme': 'http', ':path': '/' };
    const upgrade = await askHttp2(session, { ':method': 'CONNECT', ':protocol': 'h2c', ...target }, '');
    assert.deepEqual(
      [upgrade.head[':status'], upgrade.text],
      [501, ':protocol h2c is not carried, only websocket\n'],
    );
    assert.deepEqual(seen, []);
  });

  it('speaks HTTP/2 to a service that does, for callers of either version', async (t) => {
    const server = createHttp2Server();
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
      stream.respond({ ':status': 200, 'x-saw': String(headers[':authority']) }, { waitForTrailers: true });
      stream.end(`h2 ${String(headers[':path'])}`);
    });
    const pair = await pairTo(
      t,
      await listenForTest(t, server as unknown as ReturnType<typeof createServer>),
      'http2',
    );
    const byHttp1 = await ask(pair.outboundPort, { path: '/one' });
    assert.deepEqual([byHttp1.status, byHttp1.body, byHttp1.headers['x-saw']], [200, 'h2 /one', 'shop']);
    const { text, trailers } = await askHttp2(openHttp2(t, pair.outboundPort), { ':path': '/two' });
    assert.deepEqual([text, trailers['x-end']], ['h2 /two', 'yes']);
  });

  it('says that it closes where an answer comes before the body did', async (t) => {
    const server = createServer((request, response) => {
      if (request.url === '/early') response.writeHead(401).end('who?');
      else if (request.url === '/reads') request.on('end', () => response.writeHead(400).end('bad')).resume();
      else request.resume().on('end', () => response.end('ok'));
    });
    const pair = await pairTo(t, await listenForTest(t, server));
    const post = (path: string, host: string) =>
      `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000\r\n\r\nabc`;
    for (const [begun, expected] of [
      [post('/', 'nobody'), /^HTTP\/1\.1 404 .*\r\nconnection: close\r\n.*no service/s],
      [post('/early', 'shop'), /^HTTP\/1\.1 401 .*\r\nconnection: close\r\n.*who\?/s],
    ] as const) {
      const socket = dial(t, pair.outboundPort);
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      socket.write(begun);
      await once(socket, 'end');
      assert.match(text, expected);
    }
    // Whose body was read to its end keeps its connection, whatever the answer is.
    const socket = dial(t, pair.outboundPort);
    socket.write(post('/reads', 'shop') + 'd'.repeat(100_000 - 3));
    assert.doesNotMatch(await readUntil(socket, /bad/), /connection/);
    socket.write(post('/', 'shop') + 'd'.repeat(100_000 - 3));
    assert.doesNotMatch(await readUntil(socket, /ok/), /connection/);
  });

  it('answers pipelined requests in order', async (t) => {
    const { port } = await startApp(t);
    const pair = await pairTo(t, port);
    const socket = dial(t, pair.outboundPort);
    socket.write(
      'GET /slow HTTP/1.1\r\nHost: shop\r\n\r\nGET /b HTTP/1.1\r\nHost: shop\r\n\r\nGET /c HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n',
    );
    const text = await readUntil(socket, /GET \/c 0/);
    assert.ok(
      text.indexOf('slow') < text.indexOf('GET /b 0') && text.indexOf('GET /b 0') < text.indexOf('GET /c 0'),
    );
  });

  it('keeps a large body whole in both directions', async (t) => {
    const size = 8 * 1024 * 1024;
    const payload = Buffer.alloc(size);
    for (let at = 0; at < size; at += 4) payload.writeUInt32LE(at, at);
    const server = createServer((request, response) => request.pipe(response));
    const pair = await pairTo(t, await listenForTest(t, server));
    const reply = await ask(pair.outboundPort, { method: 'POST', body: payload });
    assert.ok(Buffer.from(reply.body, 'latin1').equals(payload));
  });
});
