/** A caller's and a receiver's sidecar as real processes with an mTLS link between them, driven over real sockets. */
import assert from 'node:assert/strict';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { ask, listenForTest, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { everythingTo, type PairOptions, startStaticPair } from '../support/static-pair.ts';

guardLeaks();

async function startPair(t: TestContext, options: Partial<PairOptions> = {}) {
  const app = await startApp(t);
  const pair = await startStaticPair(t, {
    ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
    ...options,
  });
  return { app, pair };
}

describe('a pair of sidecars', () => {
  it('carries a request by host, by localhost port, and its body both ways', async (t) => {
    const { app, pair } = await startPair(t);
    const byHost = await ask(pair.outboundPort, { path: '/a?b=1' });
    assert.deepEqual([byHost.status, byHost.body, byHost.headers['x-app']], [200, 'GET /a?b=1 0', 'shop']);
    for (const host of ['shop.test', 'shop.test.mesh', 'shop.localhost', `shop.test:80`]) {
      assert.equal((await ask(pair.outboundPort, { host })).status, 200, host);
    }
    const byPort = await ask(pair.localPort(80), {
      host: 'whatever',
      method: 'POST',
      body: 'x'.repeat(100_000),
    });
    assert.equal(byPort.body, 'POST / 100000');
    assert.equal(app.seen.at(-1)?.body.length, 100_000);
  });

  it('makes a request id at the first hop, keeps one that came, and shows none of its own fields', async (t) => {
    const { app, pair } = await startPair(t);
    await ask(pair.outboundPort);
    await ask(pair.outboundPort, { headers: { 'x-request-id': 'mine', 'heddle-port': '1' } });
    assert.match(String(app.seen[0]?.headers['x-request-id']), /^[0-9a-f-]{33}$/);
    assert.equal(app.seen[1]?.headers['x-request-id'], 'mine');
    for (const { headers } of app.seen) {
      assert.deepEqual(
        Object.keys(headers).filter((name) => name.startsWith('heddle')),
        [],
      );
    }
  });

  it('answers 404 NR with the names that may have been meant', async (t) => {
    const { app, pair } = await startPair(t);
    const reply = await ask(pair.outboundPort, { host: 'shpo' });
    assert.equal(reply.status, 404);
    assert.match(reply.body, /no service 'shpo'.*did you mean shop\?/);
    // To HEAD the same without the words.
    const head = await ask(pair.outboundPort, { host: 'shpo', method: 'HEAD' });
    assert.deepEqual(
      [head.status, head.headers['content-length'], head.body],
      [404, String(reply.body.length), ''],
    );
    assert.equal(app.seen.length, 0);
    await eventually(() => /"flags":"NR"/.test(pair.caller.stdout));
  });

  it('answers 500 NC for the share of a backend that does not exist, and says which', async (t) => {
    const missing = { weight: 1, filters: [], target: { problem: "service 'test/ghost' does not exist" } };
    const app = await startApp(t);
    const rule = { ...everythingTo('test/shop:80'), route: 'HTTPRoute test/split #0', backends: [missing] };
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http', rules: [rule] }],
    });
    const reply = await ask(pair.outboundPort);
    assert.equal(reply.status, 500);
    assert.match(reply.body, /HTTPRoute test\/split #0: service 'test\/ghost' does not exist/);
    await eventually(() => /"flags":"NC"/.test(pair.caller.stdout));
  });

  it('lets in only whom the policy allows, at the receiver', async (t) => {
    const rule = {
      principals: [],
      namespaces: [],
      methods: ['GET'],
      paths: [{ kind: 'prefix', value: '/pub' } as const],
      ports: [],
    };
    const { app, pair } = await startPair(t, {
      policies: [{ name: 'test/pub', action: 'allow', rules: [rule] }],
    });
    assert.equal((await ask(pair.outboundPort, { path: '/public' })).status, 200);
    const denied = await ask(pair.outboundPort, { path: '/private' });
    assert.equal(denied.status, 403);
    assert.match(denied.body, /denied by authorization/);
    for (const method of ['DELETE', 'HEAD']) {
      assert.equal((await ask(pair.outboundPort, { path: '/public', method })).status, 403);
    }
    assert.equal(app.seen.length, 1);
    await eventually(() => /"flags":"AD"/.test(pair.receiver.stdout));
  });

  it('tells the receiver who called', async (t) => {
    const { pair } = await startPair(t);
    await ask(pair.outboundPort);
    await eventually(() => pair.receiver.stdout.includes(`"source":"${pair.mesh.nameOf('web')}"`));
  });

  it('goes to the endpoint that lives when another refuses', async (t) => {
    const { pair } = await startPair(t, { deadEndpoints: 1 });
    for (let n = 0; n < 10; n++) assert.equal((await ask(pair.outboundPort)).status, 200);
  });

  it('answers 503 when the application is not there', async (t) => {
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort: 1, protocol: 'http' }] });
    const reply = await ask(pair.outboundPort);
    assert.equal(reply.status, 503);
    await eventually(() => /"flags":"[^"]*UF/.test(pair.receiver.stdout));
  });

  it('answers 504 when the application takes longer than the timeout', async (t) => {
    const { pair } = await startPair(t, { timeouts: { requestMs: 100 } });
    assert.equal((await ask(pair.outboundPort, { path: '/slow' })).status, 504);
  });

  it('serves a plaintext caller on a permissive port, marked, and none on a strict one', async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http', mtls: 'permissive' }],
    });
    assert.equal((await ask(pair.plainPort(80))).status, 200);
    await eventually(() => /"flags":"PT"/.test(pair.receiver.stdout));
    await assert.rejects(ask(pair.linkPort));
  });

  it('carries opaque TCP both ways and keeps half-close', async (t) => {
    const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
      let received = 0;
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.on('end', () => socket.end(`got ${received}`));
      socket.on('error', () => {});
    });
    const appPort = await listenForTest(t, server);
    const pair = await startStaticPair(t, { ports: [{ port: 7000, appPort, protocol: 'tcp' }] });
    const socket: Socket = connect({ port: pair.localPort(7000), host: '127.0.0.1', allowHalfOpen: true });
    socket.end(Buffer.alloc(300_000));
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    assert.equal(text, 'got 300000');
    await eventually(() => /"protocol":"tcp".*"requestBytes":300000/.test(pair.receiver.stdout));
  });

  it('shows its state, configuration, clusters and metrics on the admin page', async (t) => {
    const { pair } = await startPair(t);
    await ask(pair.outboundPort);
    assert.equal((await ask(pair.callerAdmin, { path: '/ready' })).body, 'ready\n');
    const config = JSON.parse((await ask(pair.callerAdmin, { path: '/config' })).body);
    assert.equal(config.self.workload, 'web');
    const [cluster] = JSON.parse((await ask(pair.callerAdmin, { path: '/clusters' })).body);
    assert.equal(cluster.endpoints[0].connections, 1);
    const metrics = await ask(pair.callerAdmin, { path: '/metrics' });
    assert.match(metrics.body, /heddle_requests_total\{.*destination="test\/shop".*code="2xx".*\} 1/);
    assert.equal((await ask(pair.callerAdmin, { path: '/nope' })).status, 404);
    const page = { path: '/drain', method: 'POST', headers: { origin: 'https://elsewhere.test' } };
    assert.equal((await ask(pair.callerAdmin, page)).status, 403);
    assert.equal((await ask(pair.callerAdmin, { path: '/ready' })).status, 200);
  });

  it('drains on SIGTERM: requests in flight end, the process exits with 0', async (t) => {
    const { pair } = await startPair(t);
    await ask(pair.outboundPort);
    const inFlight = ask(pair.outboundPort, { path: '/slow' });
    await eventually(async () => {
      const [cluster] = JSON.parse((await ask(pair.callerAdmin, { path: '/clusters' })).body);
      return cluster.active === 1;
    });
    pair.receiver.signal('SIGTERM');
    pair.caller.signal('SIGTERM');
    assert.equal((await inFlight).body, 'slow');
    assert.equal((await pair.receiver.exited).code, 0);
    assert.equal((await pair.caller.exited).code, 0);
  });
});
