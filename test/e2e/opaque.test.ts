/** Connections that are carried as bytes: TCP with a TLS connection of its own or on the link, TLS by server name, found-out ports. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { startAgentStandIn } from '../support/agent-stand-in.ts';
import { createTestMesh } from '../support/certificates.ts';
import { defer } from '../support/cleanup.ts';
import { helloFor } from '../support/client-hello.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { ask, listenForTest, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { startStage } from '../support/ledger/stage.ts';
import {
  addressesOf,
  describePair,
  everythingTo,
  type Side,
  type StaticPair,
  startSidecar,
  startStaticPair,
} from '../support/static-pair.ts';

guardLeaks();

interface TcpApp {
  readonly port: number;
  /** Its side of every connection, in order of arrival. */
  readonly sockets: Socket[];
  /** Codes of the errors its connections ended with. */
  readonly errors: string[];
}

async function startTcpApp(t: TestContext, onSocket: (socket: Socket) => void = () => {}): Promise<TcpApp> {
  const sockets: Socket[] = [];
  const errors: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
    onSocket(socket);
  });
  return { port: await listenForTest(t, server), sockets, errors };
}

/** Answers with the number of bytes it got, once the caller has ended. */
function countBytes(socket: Socket): void {
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  socket.on('end', () => socket.end(`got ${received}`));
}

function dial(t: TestContext, port: number): Socket & { readonly codes: string[] } {
  const codes: string[] = [];
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code ?? ''));
  defer(t, () => void socket.destroy());
  return Object.assign(socket, { codes });
}

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(socket, 'end');
  return text;
}

/** Connects, says no more than `bytes`, and is gone. */
async function beginAndEnd(t: TestContext, port: number, bytes: Buffer, how: 'reset' | 'fin'): Promise<void> {
  const socket = dial(t, port);
  await once(socket, 'connect');
  socket.write(bytes);
  await new Promise((resolve) => setImmediate(resolve));
  if (how === 'reset') socket.resetAndDestroy();
  else socket.end();
  socket.resume();
  await eventually(() => socket.closed);
}

function upright(pair: StaticPair): void {
  for (const side of [pair.caller, pair.receiver]) assert.doesNotMatch(side.stderr, /Error:|uncaught/i);
}

for (const shared of [false, true]) {
  describe(shared ? 'TCP on the link' : 'TCP with a TLS connection of its own', () => {
    const startPair = (t: TestContext, appPort: number, options: object = {}) =>
      startStaticPair(t, { ports: [{ port: 7000, appPort, protocol: 'tcp', shared }], ...options });

    it('carries bytes both ways and keeps half-close', async (t) => {
      const app = await startTcpApp(t, countBytes);
      const pair = await startPair(t, app.port);
      const replies = await Promise.all(
        [300_000, 0, 7].map(async (size) => {
          const socket = dial(t, pair.localPort(7000));
          socket.end(Buffer.alloc(size));
          return textOf(socket);
        }),
      );
      assert.deepEqual(replies, ['got 300000', 'got 0', 'got 7']);
      await eventually(() => /"protocol":"tcp".*"requestBytes":300000/.test(pair.receiver.stdout));
    });

    it('lets the server speak first and end first', async (t) => {
      const app = await startTcpApp(t, (socket) => {
        socket.end('welcome');
        socket.resume();
      });
      const pair = await startPair(t, app.port);
      const socket = dial(t, pair.localPort(7000));
      assert.equal(await textOf(socket), 'welcome');
      socket.end('late');
      await eventually(() => app.sockets[0]?.bytesRead === 4);
    });

    it('passes a reset on as a reset, either way', async (t) => {
      const app = await startTcpApp(t, (socket) => socket.on('data', () => {}));
      const pair = await startPair(t, app.port);
      const one = dial(t, pair.localPort(7000));
      one.write('hello');
      await eventually(() => app.sockets[0]?.bytesRead === 5);
      app.sockets[0]?.resetAndDestroy();
      await eventually(() => one.codes[0] === 'ECONNRESET');
      const two = dial(t, pair.localPort(7000));
      two.write('hello');
      await eventually(() => app.sockets[1]?.bytesRead === 5);
      two.resetAndDestroy();
      await eventually(() => app.errors[0] === 'ECONNRESET');
      upright(pair);
    });

    it('stays up through resets with bytes under way both ways', async (t) => {
      const byRound = new Map<number, Socket>();
      const app = await startTcpApp(t, (socket) => {
        socket.on('data', () => {}).once('data', (chunk: Buffer) => byRound.set(chunk[0] as number, socket));
        socket.write(Buffer.alloc(4 * 1024 * 1024));
      });
      const pair = await startPair(t, app.port);
      for (let round = 0; round < 30; round++) {
        const socket = dial(t, pair.localPort(7000));
        socket.write(Buffer.alloc(1024 * 1024, round));
        // Every third is gone before it can have reached the application.
        if (round % 3 > 0) await eventually(() => byRound.has(round));
        if (round % 3 === 1) byRound.get(round)?.resetAndDestroy();
        else socket.resetAndDestroy();
        socket.resume();
        await eventually(() => socket.closed);
      }
      for (const port of [pair.callerAdmin, pair.receiverAdmin]) {
        await eventually(async () =>
          /^heddle_requests_active 0$/m.test((await ask(port, { path: '/metrics' })).body),
        );
      }
      upright(pair);
    });

    it('cuts the caller where the application is not there, and lives on', async (t) => {
      const pair = await startPair(t, await freePort());
      const socket = dial(t, pair.localPort(7000));
      await eventually(() => socket.codes[0] === 'ECONNRESET');
      assert.equal((await ask(pair.callerAdmin, { path: '/ready' })).status, 200);
      upright(pair);
    });

    it('never tells a cut as an end, also not a caller that has ended first', async (t) => {
      const pair = await startPair(t, await freePort());
      for (let times = 0; times < 100; times++) {
        const socket = dial(t, pair.localPort(7000));
        socket.resume();
        socket.end(Buffer.alloc(20_000));
        await eventually(() => socket.closed || socket.readableEnded, { everyMs: 2 });
        assert.deepEqual(socket.codes, ['ECONNRESET']);
      }
    });

    it('goes to the endpoint that lives when another refuses', async (t) => {
      const app = await startTcpApp(t, countBytes);
      const pair = await startPair(t, app.port, { deadEndpoints: 1 });
      for (let n = 0; n < 4; n++) {
        const socket = dial(t, pair.localPort(7000));
        socket.end('x');
        assert.equal(await textOf(socket), 'got 1');
      }
    });

    it('refuses callers whom the policy does not allow', async (t) => {
      const app = await startTcpApp(t, countBytes);
      const rule = { principals: [], namespaces: ['else'], methods: [], paths: [], ports: [7000] };
      const policies = [{ name: 'test/no', action: 'allow' as const, rules: [rule] }];
      const pair = await startPair(t, app.port, { policies });
      const socket = dial(t, pair.localPort(7000));
      socket.write('x');
      await eventually(() => socket.codes[0] === 'ECONNRESET');
      assert.equal(app.sockets.length, 0);
    });

    it('holds a fast sender back for a slow reader, whose neighbours are not slowed', async (t) => {
      const size = 32 * 1024 * 1024;
      const app = await startTcpApp(t, (socket) => {
        socket.once('data', (chunk) => {
          if (String(chunk) === 'big') socket.end(Buffer.alloc(size));
          else socket.end('small');
        });
      });
      const pair = await startPair(t, app.port);
      const slow = dial(t, pair.localPort(7000));
      slow.pause();
      slow.write('big');
      await eventually(() => (app.sockets[0]?.writableLength ?? 0) > 0);
      const other = dial(t, pair.localPort(7000));
      other.write('small');
      assert.equal(await textOf(other), 'small');
      assert.ok((app.sockets[0]?.writableLength ?? 0) > 0, 'the application has to wait');
      let received = 0;
      slow.on('data', (chunk) => {
        received += chunk.length;
      });
      slow.resume();
      await once(slow, 'end');
      assert.equal(received, size);
    });
  });
}

for (const shared of [false, true]) {
  describe(shared ? 'a connection on the link' : 'a connection with TLS of its own', () => {
    async function startLive(t: TestContext) {
      const app = await startTcpApp(t, (socket) => {
        socket.on('data', (chunk) => socket.write(chunk));
        // Or the sidecars would wait for it when they drain.
        socket.on('end', () => socket.end());
      });
      const description = await describePair({
        ports: [{ port: 7000, appPort: app.port, protocol: 'tcp', shared }],
      });
      const { mesh, caller, receiver } = description;
      const start = async (side: Side) => {
        const agent = await startAgentStandIn(t, side, await mesh.bundle(side.account));
        const { instance } = side.bootstrap;
        const process = await startSidecar(t, ['--agent', agent.socketPath, '--instance', instance]);
        return { agent, process };
      };
      const shop = await start(receiver);
      const web = await start(caller);
      return { app, mesh, receiver, shop, web, ...addressesOf(caller, receiver) };
    }

    /** A connection that has carried bytes both ways. */
    async function openEcho(t: TestContext, port: number) {
      const socket = dial(t, port);
      socket.write('hello');
      await once(socket, 'data');
      socket.resume();
      return socket;
    }

    const policy = (namespace: string) => {
      const rule = { principals: [], namespaces: [namespace], methods: [], paths: [], ports: [7000] };
      return { name: 'test/who', action: 'allow' as const, rules: [rule] };
    };

    it('ends when a changed policy does not admit its caller any more, and not before', async (t) => {
      const { app, shop, receiver, localPort } = await startLive(t);
      const socket = await openEcho(t, localPort(7000));
      const put = (revision: number, namespace: string) =>
        shop.agent.push({
          ...receiver.snapshot,
          version: { epoch: 1, revision },
          self: { ...receiver.snapshot.self, policies: ['test/who'] },
          policies: new Map([['test/who', policy(namespace)]]),
        });
      assert.equal((await put(2, 'test')).kind, 'ack');
      socket.write('more');
      await eventually(() => socket.bytesRead === 9);
      assert.deepEqual(socket.codes, []);
      assert.equal((await put(3, 'else')).kind, 'ack');
      await eventually(() => socket.codes[0] === 'ECONNRESET');
      await eventually(() => app.errors[0] === 'ECONNRESET');
      await eventually(() => shop.process.stdout.includes('denied by authorization'));
    });

    it("ends with its caller's certificate", async (t) => {
      const { app, mesh, web, shop, localPort, callerAdmin } = await startLive(t);
      const long = await openEcho(t, localPort(7000));
      const notAfter = new Date(Math.ceil(Date.now() / 1000) * 1000 + 5_000);
      web.agent.renew(await mesh.bundle('web', { notAfter }));
      const renewed = new RegExp(`^heddle_certificate_expiry_seconds ${notAfter.getTime() / 1000}$`, 'm');
      await eventually(async () => renewed.test((await ask(callerAdmin, { path: '/metrics' })).body));
      const short = await openEcho(t, localPort(7000));
      await eventually(() => short.codes[0] === 'ECONNRESET', { withinMs: 20_000 });
      assert.ok(Date.now() >= notAfter.getTime());
      await eventually(() => app.errors.length === 1);
      assert.match(shop.process.stdout + shop.process.stderr, /certificate of .*web.* has ended/);
      long.write('still here');
      await eventually(() => long.bytesRead === 15);
    });
  });
}

describe('TCP on the link', () => {
  it('takes one link for many connections', async (t) => {
    const app = await startTcpApp(t, countBytes);
    const pair = await startStaticPair(t, {
      ports: [{ port: 7000, appPort: app.port, protocol: 'tcp', shared: true }],
    });
    const sockets = Array.from({ length: 20 }, () => dial(t, pair.localPort(7000)));
    for (const socket of sockets) socket.write('x');
    await eventually(() => app.sockets.length === 20);
    const [cluster] = JSON.parse((await ask(pair.callerAdmin, { path: '/clusters' })).body);
    assert.deepEqual([cluster.active, cluster.endpoints[0].connections], [20, 1]);
  });

  it('goes to an instance whose application is there', async (t) => {
    const stage = await startStage(t, { instances: 2, shared: true });
    const [gone] = stage.instances;
    gone?.app.signal('SIGKILL');
    await gone?.app.ended();
    for (let n = 0; n < 6; n++) {
      const socket = dial(t, stage.tcpPort);
      socket.end(`${n}: echo`);
      assert.equal(await textOf(socket), `${n}: echo`);
    }
  });
});

describe('TLS by server name', () => {
  async function startTls(t: TestContext, name: string): Promise<number> {
    const bundle = await (await createTestMesh()).bundle(name);
    const server = createTlsServer({ key: bundle.privateKey, cert: bundle.certificateChain }, (socket) => {
      socket.on('error', () => {});
      socket.end(`${name} ${socket.servername || '-'}`);
    });
    return listenForTest(t, server);
  }

  async function startTlsPair(t: TestContext): Promise<StaticPair> {
    const [blue, green] = await Promise.all([startTls(t, 'blue'), startTls(t, 'green')]);
    const to = (cluster: string, serverName: string | undefined) => {
      const rule = everythingTo(cluster);
      return { ...rule, match: { ...rule.match, serverName } };
    };
    const rules = [
      to('test/shop:8444', '*.green.test'),
      to('test/shop:8443', 'blue.test'),
      to('test/shop:8443', 'shop.test'),
    ];
    return startStaticPair(t, {
      ports: [
        { port: 8443, appPort: blue, protocol: 'tls', rules },
        { port: 8444, appPort: green, protocol: 'tls', shared: true },
      ],
    });
  }

  async function askTls(t: TestContext, port: number, servername: string): Promise<string> {
    const socket = connectTls({ port, host: '127.0.0.1', servername, rejectUnauthorized: false });
    defer(t, () => void socket.destroy());
    let text = '';
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    return new Promise((resolve) => {
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      socket.on('end', () => resolve(text));
    });
  }

  it('leads each name to its backend, and the TLS is the application’s own', async (t) => {
    const pair = await startTlsPair(t);
    assert.equal(await askTls(t, pair.localPort(8443), 'blue.test'), 'blue blue.test');
    assert.equal(await askTls(t, pair.localPort(8443), 'a.b.green.test'), 'green a.b.green.test');
    assert.equal(await askTls(t, pair.localPort(8443), 'green.test'), 'ECONNRESET');
    assert.equal(await askTls(t, pair.localPort(8444), ''), 'green -');
    await eventually(() => pair.caller.stdout.includes('"cluster":"test/shop:8444"'));
  });

  it('finds a service by the name that TLS on the common port asks for', async (t) => {
    const pair = await startTlsPair(t);
    assert.equal(await askTls(t, pair.outboundPort, 'shop.test'), 'blue shop.test');
    assert.equal(await askTls(t, pair.outboundPort, 'nobody.test'), 'ECONNRESET');
  });

  it('survives garbage and resets before, within and after a ClientHello', async (t) => {
    const pair = await startTlsPair(t);
    const hello = helloFor('blue.test');
    const beginnings = [
      Buffer.alloc(0),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      hello.subarray(0, 3),
      hello.subarray(0, 40),
      hello,
    ];
    for (const bytes of beginnings) {
      for (const port of [pair.localPort(8443), pair.outboundPort]) {
        await beginAndEnd(t, port, bytes, 'reset');
        await beginAndEnd(t, port, bytes, 'fin');
      }
    }
    assert.equal(await askTls(t, pair.localPort(8443), 'blue.test'), 'blue blue.test');
    upright(pair);
  });
});

describe('a port whose protocol is found out', () => {
  const startPair = (t: TestContext, appPort: number, detectMs = 5_000, shared = false) =>
    startStaticPair(t, {
      ports: [{ port: 9000, appPort, protocol: 'detect', shared }],
      timeouts: { detectMs },
    });

  it('serves HTTP/1.1 as requests', async (t) => {
    const app = await startApp(t);
    const pair = await startPair(t, app.port);
    assert.equal((await ask(pair.localPort(9000), { path: '/a' })).body, 'GET /a 0');
    assert.equal((await ask(pair.outboundPort, { host: 'shop', path: '/b' })).body, 'GET /b 0');
    assert.match(String(app.seen[0]?.headers['x-request-id']), /^[0-9a-f-]{33}$/);
  });

  it('serves HTTP/2 as requests, to an application that speaks nothing else', async (t) => {
    const server = createHttp2Server((request, response) => response.end(`h2 ${request.url}`));
    const pair = await startPair(t, await listenForTest(t, server as never));
    const session = connectHttp2(`http://127.0.0.1:${pair.localPort(9000)}`);
    session.on('error', () => {});
    defer(t, () => void session.destroy());
    const stream = session.request({ ':path': '/x' });
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    assert.equal(text, 'h2 /x');
    await eventually(() => /"path":"\/x"/.test(pair.receiver.stdout));
  });

  it('carries everything else as bytes, also where it is over before it is known', async (t) => {
    const app = await startTcpApp(t, countBytes);
    const pair = await startPair(t, app.port);
    for (const bytes of ['\x00\x01binary', 'short', 'SSH-2.0-x\r\n', 'set key 0 0 3\r\nabc\r\n', '']) {
      const socket = dial(t, pair.localPort(9000));
      socket.end(bytes);
      assert.equal(await textOf(socket), `got ${bytes.length}`);
    }
  });

  it('waits for a server that speaks first no longer than its bound', async (t) => {
    const app = await startTcpApp(t, (socket) => {
      socket.end('welcome');
      socket.resume();
    });
    const pair = await startPair(t, app.port, 10);
    assert.equal(await textOf(dial(t, pair.localPort(9000))), 'welcome');
  });
});
