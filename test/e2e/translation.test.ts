/**
 * HTTP/2 in front of HTTP/1.1 and the other way round, at a real sidecar with a recorder of raw bytes behind it: of
 * what is malformed not one byte goes on, what is sound arrives as the other version writes it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, {
  type ClientHttp2Session,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer } from 'node:net';
import { before, describe, it, type TestContext } from 'node:test';
import { badRequests } from '../conformance/h2-messages.ts';
import { defer, type Scope, suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { listenForTest } from '../support/http-app.ts';
import { block, data, type Frame, goaway, headers, rst, settings } from '../support/http2-frames.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { FrameFeed, frameKind, RawHttp2Client } from '../support/raw-http2.ts';
import { plainAnswer, RawClient, RecordingUpstream } from '../support/raw-peers.ts';
import { type StaticPair, startStaticPair } from '../support/static-pair.ts';

guardLeaks();

const post = block([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'shop'],
]);

describe('HTTP/2 to an application that speaks HTTP/1.1', () => {
  const scope = suiteScope();
  let upstream: RecordingUpstream;
  let pair: StaticPair;
  before(async () => {
    upstream = await new RecordingUpstream().listen();
    defer(scope, () => upstream.close());
    const port = { port: 80, appPort: upstream.port, protocol: 'http', mtls: 'permissive' } as const;
    pair = await startStaticPair(scope, { ports: [port] });
  });
  /** Forgets what was, and again at the end: idle connections outlive a test. */
  const fresh = async (t: TestContext) => {
    await upstream.reset();
    defer(t, () => upstream.reset());
  };
  /** The receiver's own port, and the caller's, from where it is one link further. */
  const doors = [
    ['at the sidecar beside the application', () => pair.plainPort(80)],
    ['over a link', () => pair.outboundPort],
  ] as const;

  for (const [door, port] of doors) {
    it(`passes on not a byte of a malformed request, ${door}`, async (t) => {
      await fresh(t);
      const client = new RawHttp2Client(t, port());
      for (const [at, { lines, flags }] of badRequests.entries()) {
        client.send(headers(1 + 2 * at, block(lines), flags ?? 5));
      }
      const last = 1 + 2 * (badRequests.length - 1);
      await eventually(() => client.resetOf(last) !== undefined);
      for (const [at, { name }] of badRequests.entries()) {
        assert.equal(client.resetOf(1 + 2 * at), constants.NGHTTP2_PROTOCOL_ERROR, name);
      }
      // The connection serves on.
      client.send(headers(last + 2, post));
      await eventually(() => upstream.requests.length === 1);
      assert.deepEqual([upstream.connections.length, upstream.problems, client.closed], [1, [], false]);
    });

    it(`joins cookie crumbs, makes one host, and frames the body anew, ${door}`, async (t) => {
      await fresh(t);
      const session = open(t, port());
      const fields = { 'x-one': '1', te: 'trailers', cookie: ['a=1', 'b=2', 'c=3'] };
      const unknown = await ask(session, { ':method': 'POST', ':path': '/u', ...fields }, ['one', 'two']);
      assert.deepEqual([unknown.head[':status'], unknown.body], [200, 'ok']);
      const known = await ask(session, { ':method': 'PUT', ':path': '/k', 'content-length': '3' }, ['one']);
      assert.equal(known.body, 'ok');
      await ask(session, { ':path': '/none' });
      const [first, second, third] = upstream.requests;
      const named = (name: string) =>
        first?.fields.filter(([each]) => each === name).map(([, value]) => value);
      assert.deepEqual(
        [named('cookie'), named('host'), named('x-one'), named('transfer-encoding'), first?.body],
        [['a=1; b=2; c=3'], ['shop'], ['1'], ['chunked'], 'onetwo'],
      );
      assert.deepEqual([second?.start, second?.body], ['PUT /k HTTP/1.1', 'one']);
      assert.ok(second?.fields.some(([name, value]) => name === 'content-length' && value === '3'));
      const framed = third?.fields.filter(([name]) => /^content-length$|^transfer-encoding$/.test(name));
      assert.deepEqual(framed, []);
      assert.deepEqual(upstream.problems, []);
    });

    it(`maps 1xx, trailers and hop-by-hop fields of the answer, ${door}`, async (t) => {
      await fresh(t);
      upstream.script = () =>
        'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hint\r\nX-Hint: 1\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nX-Upper: Case\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n' +
        'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n';
      const { head, hints, body, trailers } = await ask(open(t, port()), { ':path': '/' });
      assert.deepEqual(
        hints.map((hint) => [hint[':status'], hint['link'], hint['x-hint']]),
        [[103, '</a.css>', undefined]],
      );
      assert.deepEqual([head['x-upper'], body, trailers['x-sum']], ['Case', 'hi', '7']);
      for (const name of ['x-hop', 'keep-alive', 'connection', 'transfer-encoding']) {
        assert.equal(head[name], undefined, name);
      }
      assert.equal(trailers['content-length'], undefined);
    });

    it(`tells an HTTP/1.1 caller what a 426 asks it to become, ${door}`, async (t) => {
      await fresh(t);
      const asking = (more: string) =>
        `HTTP/1.1 426 Upgrade Required\r\n${more}Heddle-Upgrade: x/1\r\nContent-Length: 0\r\n\r\n`;
      const client = new RawClient(port());
      defer(t, () => client.destroy());
      const answerTo = async (script: string, connection: string) => {
        upstream.script = () => script;
        const answered = client.text.length;
        await client.send([`GET / HTTP/1.1\r\nHost: shop\r\nConnection: ${connection}\r\n\r\n`]);
        await eventually(() => client.text.endsWith('\r\n\r\n') && client.text.length > answered);
        const [start, ...lines] = client.text.slice(answered).trim().split('\r\n');
        return [start, ...lines.filter((line) => /^(?:connection|upgrade|heddle)/.test(line))];
      };
      const line = 'HTTP/1.1 426 Upgrade Required';
      const both = 'Connection: Upgrade\r\nUpgrade: tls/1.3\r\nUpgrade: foo/2\r\n';
      assert.deepEqual(await answerTo(asking(both), 'x'), [
        line,
        'connection: upgrade',
        'upgrade: tls/1.3,foo/2',
      ]);
      assert.deepEqual(await answerTo(asking(''), 'x'), [line]);
      // On other answers it is an offer, of something that we would not carry.
      assert.deepEqual(await answerTo(asking(both).replace('426 Upgrade Required', '404 Not Found'), 'x'), [
        'HTTP/1.1 404 Not Found',
      ]);
      assert.deepEqual(await answerTo(asking('Upgrade: foo/2\r\n'), 'close'), [
        line,
        'connection: close, upgrade',
        'upgrade: foo/2',
      ]);
      upstream.script = () => asking(both);
      // HTTP/2 knows no such field (RFC 9113 §8.2.2).
      const { head } = await ask(open(t, port()), { ':path': '/' });
      const names = Object.keys(head).filter((name) => /^(?:connection|upgrade|heddle)/.test(name));
      assert.deepEqual([head[':status'], names], [426, []]);
    });

    it(`shows an answer that was cut as a reset, ${door}`, async (t) => {
      await fresh(t);
      for (const cut of [
        'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
      ]) {
        await upstream.reset();
        upstream.script = () => cut;
        upstream.endsAfterAnswer = true;
        const stream = open(t, port()).request({ ':authority': 'shop', ':path': '/' });
        stream.resume();
        await assert.rejects(once(stream, 'end'), /NGHTTP2_INTERNAL_ERROR/);
      }
    });

    it(`closes the upstream connection of a request that is taken back in its body, ${door}`, async (t) => {
      await fresh(t);
      const client = new RawHttp2Client(t, port());
      client.send(headers(1, post, 4), data(1, 'half a bo'));
      await eventually(() => /half a bo/.test(upstream.connections[0]?.bytes ?? ''));
      client.send(rst(1, 8));
      await eventually(() => upstream.connections[0]?.closed);
      client.send(headers(3, post));
      await eventually(() => upstream.requests.length === 1);
      assert.equal(upstream.connections.length, 2);
      assert.deepEqual(upstream.connections[0]?.requests, []);
    });
  }

  it('gives an application nothing of a tunnel that it has not agreed to', async (t) => {
    await fresh(t);
    const upgrade = block([
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      [':scheme', 'http'],
      [':path', '/chat'],
      [':authority', 'shop'],
    ]);
    const smuggled = 'GET /smug HTTP/1.1\r\nhost: shop\r\n\r\n';
    for (const [, port] of doors) {
      await upstream.reset();
      upstream.script = ({ start }) =>
        start.includes('/chat') ? 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno' : plainAnswer;
      const client = new RawHttp2Client(t, port());
      client.send(headers(1, upgrade, 4), data(1, smuggled));
      // The refused stream is over, though the client has not ended it.
      await eventually(() => client.resetOf(1) === constants.NGHTTP2_NO_ERROR);
      client.send(headers(3, post));
      await eventually(() => upstream.requests.some(({ start }) => start.startsWith('POST')));
      assert.deepEqual(
        upstream.requests.map(({ start }) => start),
        ['GET /chat HTTP/1.1', 'POST / HTTP/1.1'],
      );
      assert.deepEqual(upstream.problems, []);
    }
  });

  it('waits for the word to go on with a body, and brings it back', async (t) => {
    await fresh(t);
    const fields = { ':method': 'POST', ':path': '/', expect: '100-continue', 'content-length': '4' };
    const stream = open(t, pair.outboundPort).request({ ':authority': 'shop', ...fields });
    await once(stream, 'continue');
    assert.match(upstream.connections[0]?.bytes ?? '', /\r\nexpect: 100-continue\r\n/);
    stream.end('body');
    const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    stream.resume();
    await once(stream, 'end');
    assert.deepEqual([head[':status'], upstream.requests[0]?.body], [200, 'body']);
  });

  it('carries HTTP/1.1 over the link as it was: absolute form split, hop-by-hop gone, cut is cut', async (t) => {
    await fresh(t);
    const client = new RawClient(pair.outboundPort);
    try {
      await client.send([
        'GET http://shop/a?b=c HTTP/1.1\r\nHost: elsewhere\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nTE: trailers\r\n' +
          'Keep-Alive: 5\r\nProxy-Connection: close\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n',
      ]);
      await eventually(() => client.closed);
      const [request] = upstream.requests;
      assert.equal(request?.start, 'GET /a?b=c HTTP/1.1');
      assert.deepEqual(
        request?.fields.filter(([name]) => name !== 'x-request-id'),
        [
          ['host', 'shop'],
          ['x-twice', '1'],
          ['x-twice', '2'],
        ],
      );
      assert.deepEqual([client.statuses(), upstream.problems], [[200], []]);
    } finally {
      client.destroy();
    }
    upstream.script = () => 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc';
    upstream.endsAfterAnswer = true;
    const cut = new RawClient(pair.outboundPort);
    try {
      await cut.send(['GET / HTTP/1.1\r\nHost: shop\r\n\r\n']);
      await eventually(() => cut.closed);
      // The reset may overtake what came before it; what counts is that nobody takes the answer for whole.
      assert.match(cut.text, /^$|abc$/);
      assert.deepEqual(cut.statuses(), []);
    } finally {
      cut.destroy();
    }
  });
});

describe('HTTP/2 to an application that speaks HTTP/2', () => {
  for (const maxConnections of [1, 100]) {
    it(`opens no more streams at once than it allows, on at most ${maxConnections} connections`, async (t) => {
      const most = 3;
      let refused = 0;
      const server = http2.createServer({ settings: { maxConcurrentStreams: most } });
      server.on('session', (session) => {
        let now = 0;
        session.on('stream', (stream: ServerHttp2Stream) => {
          if (++now > most) refused++;
          stream.on('close', () => void now--);
          setTimeout(() => {
            stream.respond();
            stream.end('ok');
          }, 20);
        });
        session.on('frameError', () => void refused++);
      });
      const appPort = await listenForTest(t, server as unknown as Parameters<typeof listenForTest>[1]);
      const port = { port: 80, appPort, protocol: 'http2' } as const;
      const pair = await startStaticPair(t, { ports: [port], served: { maxConnections } });
      const session = open(t, pair.outboundPort);
      // All at once, to a server that nobody has heard yet.
      const answers = await Promise.all(Array.from({ length: 40 }, () => ask(session, { ':path': '/' })));
      assert.deepEqual(new Set(answers.map(({ body }) => body)), new Set(['ok']));
      assert.equal(refused, 0);
      await eventually(() => /"path":"\/".*"attempts":1/.test(pair.receiver.stdout));
      assert.doesNotMatch(pair.receiver.stdout, /"attempts":2/);
    });
  }

  it('says so where the application speaks something else', async (t) => {
    const app = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'));
    });
    const appPort = await listenForTest(t, app);
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort, protocol: 'http2' }] });
    const { head } = await ask(open(t, pair.outboundPort), { ':path': '/' });
    assert.equal(head[':status'], 503);
    await eventually(() => /"detail":"(?:PROTOCOL|FRAME_SIZE)_ERROR: /.test(pair.receiver.stdout));
  });

  it('counts the wait for its SETTINGS as connecting, however many requests wait', async (t) => {
    let connections = 0;
    const app = createServer((socket) => {
      connections++;
      socket.on('error', () => {});
      socket.resume();
    });
    const appPort = await listenForTest(t, app);
    const timeouts = { connectMs: 1000 };
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort, protocol: 'http2' }], timeouts });
    const session = open(t, pair.outboundPort);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(session, { ':path': '/' })));
    assert.deepEqual(new Set(answers.map(({ head }) => head[':status'])), new Set([503]));
    const detail = `127.0.0.1:${appPort} has not begun HTTP/2 within 1000 ms: no SETTINGS`;
    await eventually(() => pair.receiver.stdout.includes(`"detail":"${detail}"`));
    // Neither sidecar asks twice: there is nobody else.
    await eventually(() => /"detail":"the application did not take a conn/.test(pair.caller.stdout));
    assert.doesNotMatch(pair.receiver.stdout + pair.caller.stdout, /"attempts":2/);
    assert.ok(connections >= 1 && connections <= 2, `${connections} connections`);
  });

  for (const how of ['REFUSED_STREAM', 'GOAWAY'] as const) {
    it(`sends a request again that it refused unseen (${how}), with its body`, async (t) => {
      const app = await startRefusing(t, (stream) =>
        how === 'GOAWAY'
          ? goaway(0, constants.NGHTTP2_NO_ERROR)
          : rst(stream, constants.NGHTTP2_REFUSED_STREAM),
      );
      const pair = await startStaticPair(t, { ports: [{ port: 80, appPort: app.port, protocol: 'http2' }] });
      const session = open(t, pair.outboundPort);
      const { head } = await ask(session, { ':method': 'POST', ':path': '/' }, ['the body']);
      assert.equal(head[':status'], 200);
      assert.deepEqual(app.bodies, ['the body']);
      assert.equal(app.requests, 2);
    });
  }
});

/** Answers the first request by `refusal`, and the others by 200 once they are whole. */
async function startRefusing(t: TestContext, refusal: (stream: number) => Buffer) {
  const app = { port: 0, requests: 0, bodies: [] as string[] };
  const server = createServer((socket) => {
    const texts = new Map<number, string>();
    const onHead = (stream: number) => {
      if (++app.requests === 1) socket.write(refusal(stream));
      else texts.set(stream, '');
    };
    const onData = ({ flags, stream, payload }: Frame) => {
      const before = texts.get(stream);
      if (before === undefined) return;
      texts.set(stream, before + payload.toString());
      if ((flags & 1) === 0) return;
      app.bodies.push(texts.get(stream) ?? '');
      socket.write(headers(stream, block([[':status', '200']])));
    };
    const answer = (frame: Frame) => {
      if (frame.type === frameKind.settings && frame.flags === 0) socket.write(settings([], 1));
      else if (frame.type === frameKind.headers) onHead(frame.stream);
      else if (frame.type === frameKind.data) onData(frame);
    };
    const feed = new FrameFeed();
    socket.on('error', () => {});
    socket.write(settings());
    socket.on('data', (chunk: Buffer) => {
      for (const frame of feed.take(chunk)) answer(frame);
    });
  });
  app.port = await listenForTest(t, server);
  return app;
}

function open(t: Scope | TestContext, port: number): ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  defer(t, () => session.destroy());
  return session;
}

async function ask(session: ClientHttp2Session, fields: OutgoingHttpHeaders, parts: readonly string[] = []) {
  const stream = session.request({ ':authority': 'shop', ...fields }, { endStream: parts.length === 0 });
  const hints: IncomingHttpHeaders[] = [];
  let trailers: IncomingHttpHeaders = {};
  stream.on('headers', (hint) => hints.push(hint));
  stream.on('trailers', (fields) => {
    trailers = fields;
  });
  for (const part of parts) stream.write(part);
  if (parts.length > 0) stream.end();
  const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  let body = '';
  for await (const chunk of stream) body += String(chunk);
  return { head, hints, body, trailers };
}
