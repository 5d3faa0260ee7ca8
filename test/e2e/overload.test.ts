/** Shortage of memory and of descriptors, in real processes. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks();

interface OverloadPage {
  readonly level: string;
  readonly requestsShed: number;
  readonly descriptors: {
    readonly total: number;
    readonly perSide: number;
    readonly downstream: number;
    readonly upstream: number;
    readonly dropped: number;
  };
}

async function overloadOf(admin: number): Promise<OverloadPage> {
  return JSON.parse((await ask(admin, { path: '/overload' })).body) as OverloadPage;
}

describe('a sidecar without memory', () => {
  it('answers new requests with 503 and retry-after, and its admin page as ever', async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      // Less than a sidecar needs at rest.
      start: { caller: { args: ['--memory-limit', '64Mi'] } },
    });
    await pair.caller.printed(/memory pressure changed/);
    const reply = await ask(pair.outboundPort);
    assert.equal(reply.status, 503);
    assert.equal(reply.headers['retry-after'], '1');
    assert.equal(reply.headers.connection, 'close');
    assert.equal(app.seen.length, 0);
    const page = await overloadOf(pair.callerAdmin);
    assert.deepEqual([page.level, page.requestsShed], ['shedding', 1]);
    assert.equal((await ask(pair.callerAdmin, { path: '/ready' })).status, 200);
    const metrics = (await ask(pair.callerAdmin, { path: '/metrics' })).body;
    assert.match(metrics, /^heddle_overload_level 3$/m);
    assert.match(metrics, /^heddle_requests_shed_total 1$/m);
    await eventually(() => /"flags":"UO"/.test(pair.caller.stdout));
  });
});

describe('a sidecar with 256 descriptors', () => {
  it('turns away what it has no descriptor for, counts it, and serves again as soon as there is one', async (t) => {
    const app = await startApp(t);
    const narrow = { wrapper: ['prlimit', '--nofile=256:256'] };
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      start: { caller: narrow, receiver: narrow },
    });
    const sockets = new Set<Socket>();
    defer(t, () => {
      for (const socket of sockets) socket.destroy();
    });
    let closed = 0;
    for (let n = 0; n < 400; n++) {
      const socket = connect({ port: pair.outboundPort, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.on('close', () => {
        closed++;
        sockets.delete(socket);
      });
      socket.resume();
      sockets.add(socket);
    }
    const full = await eventually(async () => {
      const page = await overloadOf(pair.callerAdmin);
      return page.descriptors.dropped + page.descriptors.downstream >= 400 ? page : undefined;
    });
    assert.equal(full.descriptors.downstream, full.descriptors.perSide);
    await eventually(() => closed === full.descriptors.dropped);
    assert.match(
      (await ask(pair.callerAdmin, { path: '/metrics' })).body,
      new RegExp(`^heddle_connections_dropped_total ${full.descriptors.dropped}$`, 'm'),
    );
    for (const socket of sockets) socket.destroy();
    await eventually(async () => (await overloadOf(pair.callerAdmin)).descriptors.downstream === 0);
    assert.equal((await ask(pair.outboundPort)).status, 200);
    assert.equal(pair.caller.status, undefined);
  });

  it('answers more requests at once than it may make connections, each of them', async (t) => {
    const app = await startApp(t);
    const narrow = { wrapper: ['prlimit', '--nofile=256:256'] };
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      start: { receiver: narrow },
    });
    const replies = await Promise.all(
      Array.from({ length: 300 }, () => ask(pair.outboundPort, { path: '/slow' })),
    );
    assert.deepEqual([...new Set(replies.map(({ status }) => status))], [200]);
    const page = await overloadOf(pair.receiverAdmin);
    assert.ok(page.descriptors.upstream <= page.descriptors.perSide);
  });
});
