/** The link as other programs meet it: any HTTP/2 with a certificate of the mesh, on either end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  createServer as createHttp2Server,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask, listenForTest, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import {
  addressesOf,
  describePair,
  endpointsOf,
  type StaticPair,
  startStaticPair,
  startStaticSide,
} from '../support/static-pair.ts';

guardLeaks();

/** Identifiers of SETTINGS, by docs/wire.md. */
const version = 0xf4d0;
const features = 0xf4d1;
const custom = { remoteCustomSettings: [version, features] };
const announcing = (linkVersion: number): Settings => ({ customSettings: { [version]: linkVersion } });

async function startTwoPorts(t: TestContext) {
  const apps = [await startApp(t), await startApp(t)] as const;
  const pair = await startStaticPair(t, {
    ports: [
      { port: 80, appPort: apps[0].port, protocol: 'http' },
      { port: 81, appPort: apps[1].port, protocol: 'http' },
    ],
  });
  return { pair, apps };
}

/** A caller that is no sidecar. */
async function dial(
  t: TestContext,
  pair: StaticPair,
  servername: string,
  settings: Settings = {},
): Promise<ClientHttp2Session> {
  const { privateKey, certificateChain, trustBundle } = await pair.mesh.bundle('web');
  const session = connect(`https://127.0.0.1:${pair.linkPort}`, {
    key: privateKey,
    cert: certificateChain,
    ca: trustBundle,
    servername,
    checkServerIdentity: () => undefined,
    settings,
    ...custom,
  });
  session.on('error', () => {});
  defer(t, () => session.destroy());
  return session;
}

async function askBy(session: ClientHttp2Session, fields: Record<string, string> = {}) {
  const stream = session.request({ ':path': '/x', ...fields });
  const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  let body = '';
  for await (const chunk of stream) body += String(chunk);
  return { status: head[':status'], body };
}

describe('a link', () => {
  it('serves any HTTP/2 with a certificate of the mesh, at the port that a request or the handshake names', async (t) => {
    const { pair, apps } = await startTwoPorts(t);
    const session = await dial(t, pair, '80.shop.test.mesh');
    assert.deepEqual(await askBy(session), { status: 200, body: 'GET /x 0' });
    assert.deepEqual(
      apps.map(({ seen }) => seen.length),
      [1, 0],
    );
    assert.equal((await askBy(session, { 'heddle-port': '81' })).status, 200);
    assert.deepEqual(
      apps.map(({ seen }) => seen.length),
      [1, 1],
    );
    // What is ours goes no farther, known or not.
    await askBy(session, { 'heddle-version': '2', 'heddle-x': '1' });
    const names = Object.keys(apps[0]?.seen.at(-1)?.headers ?? { heddle: 'nothing seen' });
    assert.deepEqual(
      names.filter((name) => name.startsWith('heddle')),
      [],
    );
    // What names something else is not led to what the handshake named.
    for (const port of ['82', 'eighty']) {
      assert.equal((await askBy(session, { 'heddle-port': port })).status, 404);
    }
    const nameless = await dial(t, pair, 'localhost');
    assert.deepEqual(await askBy(nameless), {
      status: 404,
      body: 'the request names no port of this workload\n',
    });
  });

  it('takes more heads in one turn than its socket does, and loses none', async (t) => {
    const app = createHttp2Server();
    app.on('stream', (stream: ServerHttp2Stream, head) => {
      stream.on('error', () => {});
      stream.respond({ 'x-token': String(head.authorization).slice(0, 2000) });
      stream.end();
    });
    const appPort = await listenForTest(t, app as unknown as Parameters<typeof listenForTest>[1]);
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort, protocol: 'http2' }] });
    assert.equal((await ask(pair.outboundPort)).status, 200);
    const token = 'x'.repeat(3000);
    const sessions = Array.from({ length: 24 }, () => connect(`http://127.0.0.1:${pair.outboundPort}`));
    for (const session of sessions) {
      session.on('error', () => {});
      defer(t, () => session.destroy());
    }
    await Promise.all(sessions.map((session) => once(session, 'remoteSettings')));
    const fields = { ':authority': 'shop', authorization: token };
    const asked = sessions.flatMap((session) =>
      Array.from({ length: 50 }, () => askBy(session, fields).catch(String)),
    );
    const statuses = (await Promise.all(asked)).map((reply) =>
      typeof reply === 'string' ? reply : `${reply.status} ${reply.body}`.trim(),
    );
    assert.deepEqual(new Set(statuses), new Set(['200']));
  });

  it('carries a connection that ends with its request, to a server that speaks first', async (t) => {
    let ended = false;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.write('hello');
      socket.resume().on('end', () => {
        ended = true;
        socket.end(' and bye');
      });
    });
    const appPort = await listenForTest(t, server);
    const pair = await startStaticPair(t, {
      ports: [{ port: 7000, appPort, protocol: 'tcp', shared: true }],
    });
    const session = await dial(t, pair, '7000.shop.test.mesh');
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'shop:7000' }, { endStream: true });
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    assert.deepEqual([text, ended], ['hello and bye', true]);
  });

  it('says version and features first, and ends one of another version with the reason', async (t) => {
    const { pair } = await startTwoPorts(t);
    const session = await dial(t, pair, '80.shop.test.mesh', announcing(1));
    const [settings] = (await once(session, 'remoteSettings')) as [Settings];
    assert.deepEqual(settings.customSettings, { [version]: 1, [features]: 7 });
    assert.equal((await askBy(session)).status, 200);

    const newer = await dial(t, pair, '80.shop.test.mesh', announcing(2));
    const [code, last, reason] = (await once(newer, 'goaway')) as [number, number, Buffer];
    assert.deepEqual([code, last], [1, 0]);
    assert.match(String(reason), /link version 2, this sidecar speaks 1/);
    // Nobody else is touched.
    assert.equal((await askBy(session)).status, 200);
  });

  it('is given up where its receiver does not begin in the time to connect, and requests go elsewhere', async (t) => {
    const app = await startApp(t);
    const timeouts = { connectMs: 1000 };
    const pair = await describePair({
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      timeouts,
    });
    const { mesh, caller } = pair;
    const { privateKey, certificateChain, trustBundle } = await mesh.bundle('shop');
    const tls = { key: privateKey, cert: certificateChain, ca: trustBundle, requestCert: true };
    const silent = createTlsServer({ ...tls, ALPNProtocols: ['h2'] }, (socket) => {
      socket.on('error', () => {});
      socket.resume();
    });
    const port = await listenForTest(t, silent);
    const { linkPort, outboundPort } = addressesOf(caller, pair.receiver);
    const endpoints = new Map([['test/shop:80', endpointsOf(mesh, 80, [port, linkPort])]]);
    // The receiver is not there yet.
    const sidecar = await startStaticSide(t, mesh, {
      ...caller,
      snapshot: { ...caller.snapshot, endpoints },
    });
    const refused = await ask(outboundPort, { method: 'POST' });
    assert.equal(refused.status, 503);
    await startStaticSide(t, mesh, pair.receiver);
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(outboundPort)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    await eventually(() =>
      /"detail":"127.0.0.1:\d+ has not begun HTTP\/2 within 1000 ms/.test(sidecar.stdout),
    );
  });

  it('is not used to a receiver of another version; the caller says so, and goes where it can', async (t) => {
    const app = await startApp(t);
    const pair = await describePair({ ports: [{ port: 80, appPort: app.port, protocol: 'http' }] });
    const { mesh, caller } = pair;
    const { privateKey, certificateChain, trustBundle } = await mesh.bundle('shop');
    const tls = { key: privateKey, cert: certificateChain, ca: trustBundle, requestCert: true };
    const newer = createSecureServer({ ...tls, settings: announcing(2) });
    newer.on('session', (session) => session.on('error', () => {}));
    newer.on('stream', (stream) => stream.on('error', () => {}));
    const port = await listenForTest(t, newer as unknown as Parameters<typeof listenForTest>[1]);
    const { linkPort, outboundPort } = addressesOf(caller, pair.receiver);
    const withEndpoints = (ports: readonly number[]) => ({
      ...caller,
      snapshot: { ...caller.snapshot, endpoints: new Map([['test/shop:80', endpointsOf(mesh, 80, ports)]]) },
    });
    const alone = await startStaticSide(t, mesh, withEndpoints([port]));
    const refused = await ask(outboundPort);
    assert.equal(refused.status, 502);
    assert.match(refused.body, /peer speaks link version 2, this sidecar speaks 1/);
    alone.signal('SIGTERM');
    await alone.exited;

    await startStaticSide(t, mesh, pair.receiver);
    await startStaticSide(t, mesh, withEndpoints([port, linkPort]));
    for (let n = 0; n < 6; n++) assert.equal((await ask(outboundPort)).status, 200);
  });
});
