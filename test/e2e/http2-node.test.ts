/** Our HTTP/2 between node:http2's client and server, over a proxy of both our sides. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { systemRandom } from '../../kit/random.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { createHttp2Codec } from '../../sidecar/codec/http2/http2-codec.ts';
import { defer } from '../support/cleanup.ts';
import { type CodecBridge, startCodecBridge } from '../support/codec-bridge.ts';
import { testServices } from '../support/conn-pair.ts';
import { guardLeaks } from '../support/leak-guard.ts';

guardLeaks();

type Handler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

interface Setup {
  readonly proxy: CodecBridge;
  readonly client: http2.ClientHttp2Session;
  readonly server: http2.Http2Server;
}

async function setUp(t: TestContext, handler: Handler, settings: http2.Settings = {}): Promise<Setup> {
  const server = http2.createServer({ settings });
  const sessions = new Set<http2.Http2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    handler(stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(t, () => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const services = testServices();
  const codec = createHttp2Codec({ ...services, random: systemRandom });
  const options = { link: false, idleMs: 60_000, timers: services.timers, memo: new FieldMemo(7) };
  const proxy = await startCodecBridge({
    services,
    server: codec,
    serverOptions: options,
    client: codec,
    clientOptions: options,
    upstreamPort: (server.address() as AddressInfo).port,
  });
  defer(t, () => proxy.close());
  const client = http2.connect(`http://127.0.0.1:${proxy.port}`);
  client.on('error', () => {});
  defer(t, () => client.destroy());
  return { proxy, client, server };
}

async function exchange(
  client: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
): Promise<{
  headers: http2.IncomingHttpHeaders;
  body: Buffer;
  trailers: http2.IncomingHttpHeaders | undefined;
}> {
  const stream = client.request(headers, { endStream: body === undefined });
  let trailers: http2.IncomingHttpHeaders | undefined;
  stream.on('trailers', (each) => {
    trailers = each;
  });
  if (body !== undefined) stream.end(body);
  const [got] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return { headers: got, body: await buffer(stream), trailers };
}

describe('http2 with node:http2 on both sides', () => {
  it('carries heads, bodies and trailers', async (t) => {
    const { client } = await setUp(t, (stream, headers) => {
      stream.respond(
        { ':status': 201, 'x-path': headers[':path'], 'x-cookie': headers.cookie },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.pipe(stream);
    });
    const answer = await exchange(
      client,
      { ':method': 'POST', ':path': '/a?b=c', cookie: ['a=1', 'b=2'] },
      Buffer.from('hello'),
    );
    assert.equal(answer.headers[':status'], 201);
    assert.equal(answer.headers['x-path'], '/a?b=c');
    assert.equal(answer.headers['x-cookie'], 'a=1; b=2');
    assert.equal(answer.body.toString(), 'hello');
    assert.equal(answer.trailers?.['grpc-status'], '0');
  });

  it('keeps many requests with changing heads apart', async (t) => {
    const { client } = await setUp(t, (stream, headers) => {
      stream.respond({ 'x-n': headers['x-n'], 'x-long': headers['x-long'], 'cache-control': 'no-store' });
      stream.end(headers[':path']);
    });
    const round = Array.from({ length: 90 }, (_, n) => n);
    for (let run = 0; run < 6; run++) {
      await Promise.all(
        round.map(async (n) => {
          const long = 'v'.repeat((n * run) % 700) + (n % 7);
          const answer = await exchange(client, {
            ':path': `/${run}/${n}`,
            'x-n': String(n % 9),
            'x-long': long,
          });
          assert.equal(answer.body.toString(), `/${run}/${n}`);
          assert.equal(answer.headers['x-n'], String(n % 9));
          assert.equal(answer.headers['x-long'], long);
        }),
      );
    }
  });

  it('carries large bodies both ways at once, through small windows', async (t) => {
    const echo: Handler = (stream) => {
      stream.respond();
      stream.pipe(stream);
    };
    const { client } = await setUp(t, echo, { initialWindowSize: 1000 });
    const body = Buffer.alloc(3_000_000);
    for (let i = 0; i < body.length; i++) body[i] = (i * 7) >>> 3;
    const answers = await Promise.all(
      Array.from({ length: 3 }, () => exchange(client, { ':method': 'PUT', ':path': '/echo' }, body)),
    );
    for (const answer of answers) assert.ok(answer.body.equals(body));
  });

  it('passes a reset on, and the connection lives', async (t) => {
    const { client } = await setUp(t, (stream, headers) => {
      if (headers[':path'] === '/reset') stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      else stream.respond({}, { endStream: true });
    });
    const stream = client.request({ ':path': '/reset' });
    const [error] = (await once(stream, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ERR_HTTP2_STREAM_ERROR');
    assert.equal((await exchange(client, { ':path': '/' })).headers[':status'], 200);
  });

  it('tunnels an extended CONNECT', async (t) => {
    const { client } = await setUp(
      t,
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.on('data', (chunk: Buffer) => stream.write(chunk.toString().toUpperCase()));
        stream.on('end', () => stream.end());
      },
      { enableConnectProtocol: true },
    );
    await once(client, 'remoteSettings');
    assert.equal(client.remoteSettings.enableConnectProtocol, true);
    const stream = client.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    assert.equal(headers[':status'], 200);
    stream.write('ping');
    assert.equal(String(((await once(stream, 'data')) as [Buffer])[0]), 'PING');
    stream.end();
    await once(stream, 'close');
  });
});
