/** Hub and relay between a pilot's messages and sidecars on real Unix sockets. */
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { silentLog } from '../../../../kit/log.ts';
import type { Bootstrap } from '../../../../mesh/bootstrap.ts';
import { ConfigHub } from '../../../../node-agent/config/hub.ts';
import { encodeConfig, restoreConfig } from '../../../../node-agent/config/saved-config.ts';
import { RelayServer } from '../../../../node-agent/relay/relay-server.ts';
import type { ConfigRequest } from '../../../../proto/config-wire.ts';
import { endpointDelta } from '../../../../proto/endpoints.ts';
import { manifestDigest } from '../../../../proto/part.ts';
import { programProtocol, sidecarProtocol } from '../../../../proto/protocol.ts';
import { ScriptedSidecar } from '../../../support/agent/scripted-sidecar.ts';
import { setOf, snapshotOf, wireOf } from '../../../support/agent/snapshots.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

guardLeaks();

const web = 'shop/web.0@n1';

interface Bench {
  readonly hub: ConfigHub;
  /** What went to the pilot. */
  readonly sent: ConfigRequest[];
  readonly path: (instance: string) => string;
  pilot(): void;
  offer(instance: string, snapshot: ReturnType<typeof snapshotOf>, push: number): void;
  sidecar(instance?: string): ScriptedSidecar;
  serve(instance: string): Promise<RelayServer>;
}

async function bench(t: TestContext, saved?: Buffer): Promise<Bench> {
  const folder = tempFolder(t);
  const sent: ConfigRequest[] = [];
  const hub = new ConfigHub({
    node: 'n1',
    bootId: 'boot',
    log: silentLog,
    onPlacement: () => {},
    onTrust: () => {},
    onChange: () => {},
  });
  if (saved !== undefined) restoreConfig(hub, saved, silentLog);
  const path = (instance: string) => join(folder, instance.replaceAll('/', '.'), 's');
  const serve = async (instance: string) => {
    const server = new RelayServer({
      instance,
      path: path(instance),
      bootstrap: bootstrapOf(instance),
      owner: undefined,
      hub,
      log: silentLog,
    });
    await server.listen();
    defer(t, () => server.close());
    hub.feed(instance);
    return server;
  };
  await serve(web);
  return {
    hub,
    sent,
    path,
    serve,
    pilot: () => {
      sent.length = 0;
      hub.connect((request) => sent.push(request));
      hub.take({ kind: 'hello', protocol: programProtocol, pilot: 'p1' });
    },
    offer(sidecar, snapshot, push) {
      const { parts, sets, manifest } = wireOf(snapshot);
      hub.take({ kind: 'parts', parts });
      hub.take({ kind: 'endpoints', push, update: { sets, deltas: [] } });
      hub.take({ kind: 'manifest', sidecar, push, manifest });
    },
    sidecar: (instance = web) => new ScriptedSidecar(t, path(instance), instance),
  };
}

function bootstrapOf(instance: string): Bootstrap {
  return {
    instance,
    link: undefined,
    outbound: { hosts: ['127.0.0.1'], port: 20_001 },
    localPorts: [],
    apps: [],
    admin: { socket: '/tmp/admin.sock' },
    accessLogFile: undefined,
    allowShortLifetimes: false,
  };
}

const identity = { privateKey: 'KEY', certificateChain: 'CHAIN', trustBundle: 'ROOT' };
const subscribed = (sent: readonly ConfigRequest[]) => sent.filter(({ kind }) => kind === 'subscribe');

describe('relay', () => {
  it('welcomes a sidecar, gives it its identity, and subscribes it with its own features', async (t) => {
    const b = await bench(t);
    b.hub.setIdentity(web, identity);
    b.pilot();
    const sidecar = b.sidecar();
    await eventually(() => sidecar.heard.length === 2);
    assert.deepEqual(sidecar.heard, [
      { kind: 'welcome', protocol: programProtocol, bootstrap: bootstrapOf(web) },
      { kind: 'identity', identity },
    ]);
    await eventually(() => subscribed(b.sent).length === 1);
    assert.deepEqual(subscribed(b.sent)[0], {
      kind: 'subscribe',
      sidecar: web,
      protocol: sidecarProtocol,
      version: undefined,
      resolved: [],
      manifestDigest: '',
    });
    const renewed = { ...identity, certificateChain: 'NEW' };
    b.hub.setIdentity(web, renewed);
    await eventually(() => sidecar.heard.length === 3);
    assert.deepEqual(sidecar.heard[2], { kind: 'identity', identity: renewed });
  });

  it('passes a configuration on and the confirmation back', async (t) => {
    const b = await bench(t);
    b.pilot();
    const sidecar = b.sidecar();
    await eventually(() => subscribed(b.sent).length === 1);
    b.offer(web, snapshotOf('web', ['orders']), 7);
    const ack = await eventually(() => b.sent.find(({ kind }) => kind === 'ack'));
    assert.deepEqual(ack, { kind: 'ack', sidecar: web, push: 7, version: { epoch: 1, revision: 1 } });
    assert.deepEqual(sidecar.active?.self.workload, 'web');
  });

  it('sends only what is new in the next configuration', async (t) => {
    const b = await bench(t);
    b.pilot();
    const sidecar = b.sidecar();
    await eventually(() => subscribed(b.sent).length === 1);
    b.offer(web, snapshotOf('web', ['orders']), 1);
    await eventually(() => sidecar.active?.version.revision === 1);
    await eventually(() => b.hub.feed(web).good);
    const before = sidecar.heard.length;
    b.offer(web, snapshotOf('web', ['orders', 'stock'], 2), 2);
    await eventually(() => sidecar.active?.version.revision === 2);
    const parts = sidecar.heard.slice(before).flatMap((m) => (m.kind === 'parts' ? m.parts : []));
    assert.deepEqual(parts.map(({ kind, name }) => `${kind} ${name}`).sort(), [
      'cluster shop/stock:80',
      'self shop/web',
      'service shop/stock',
    ]);
  });

  it('reports a refused configuration with its problems and keeps the one before', async (t) => {
    const b = await bench(t);
    b.pilot();
    const sidecar = b.sidecar();
    await eventually(() => subscribed(b.sent).length === 1);
    b.offer(web, snapshotOf('web', ['orders']), 1);
    await eventually(() => b.hub.feed(web).good);
    sidecar.verdict = 'nack';
    b.offer(web, snapshotOf('web', ['stock'], 2), 2);
    const nack = await eventually(() => b.sent.find(({ kind }) => kind === 'nack'));
    assert.deepEqual(nack, {
      kind: 'nack',
      sidecar: web,
      push: 2,
      version: { epoch: 1, revision: 2 },
      problems: [{ path: 'self', message: 'not to my taste' }],
    });
    assert.equal(b.hub.feed(web).good?.version.revision, 1);
  });

  it('gives a new process the last good configuration when no pilot answers', async (t) => {
    const b = await bench(t);
    b.pilot();
    const first = b.sidecar();
    await eventually(() => subscribed(b.sent).length === 1);
    b.offer(web, snapshotOf('web', ['orders']), 1);
    await eventually(() => b.hub.feed(web).good);
    b.hub.disconnect();
    first.close();
    const second = b.sidecar();
    await eventually(() => second.active?.version.revision === 1);
    assert.deepEqual([...(second.active?.endpoints.keys() ?? [])], ['shop/orders:80']);
  });

  it('starts from disk with what sidecars confirmed, and tells the next pilot what it holds', async (t) => {
    const before = await bench(t);
    before.pilot();
    before.sidecar();
    await eventually(() => subscribed(before.sent).length === 1);
    const snapshot = snapshotOf('web', ['orders']);
    before.offer(web, snapshot, 1);
    await eventually(() => before.hub.feed(web).good);
    const b = await bench(t, encodeConfig(before.hub));
    const sidecar = b.sidecar();
    await eventually(() => sidecar.active?.version.revision === 1);
    b.pilot();
    const [hello, subscribe] = b.sent;
    const { parts, manifest } = wireOf(snapshot);
    assert.ok(hello?.kind === 'hello');
    assert.deepEqual([...hello.parts].sort(), parts.map(({ hash }) => hash).sort());
    assert.deepEqual(
      hello.endpoints.map(({ cluster, version }) => ({ cluster, version })),
      [{ cluster: 'shop/orders:80', version: 1 }],
    );
    assert.ok(subscribe?.kind === 'subscribe');
    assert.equal(subscribe.manifestDigest, manifestDigest(manifest.parts));
    assert.deepEqual(subscribe.version, { epoch: 1, revision: 1 });
  });

  it('ignores the rest of a saved configuration that is cut short', async (t) => {
    const before = await bench(t);
    before.pilot();
    before.sidecar();
    await eventually(() => subscribed(before.sent).length === 1);
    before.offer(web, snapshotOf('web', ['orders']), 1);
    await eventually(() => before.hub.feed(web).good);
    const saved = encodeConfig(before.hub);
    const b = await bench(t, saved.subarray(0, saved.length - 5));
    assert.deepEqual(b.hub.saved(), []);
  });

  it('hands endpoint changes on as deltas, and whole where a sidecar lacks the base', async (t) => {
    const b = await bench(t);
    const api = 'shop/api.0@n1';
    await b.serve(api);
    b.pilot();
    const [one, two] = [b.sidecar(web), b.sidecar(api)];
    await eventually(() => subscribed(b.sent).length === 2);
    b.offer(web, snapshotOf('web', ['orders']), 1);
    b.offer(api, snapshotOf('api', ['stock']), 2);
    await eventually(() => one.active !== undefined && two.active !== undefined);
    const [old, next] = [setOf('orders', 1), setOf('orders', 2, '10.0.0.1')];
    b.hub.take({ kind: 'endpoints', push: 9, update: { sets: [], deltas: [endpointDelta(old, next)] } });
    await eventually(() => one.active?.endpoints.get('shop/orders:80')?.version === 2);
    const last = one.heard.at(-1);
    assert.ok(last?.kind === 'endpoints' && last.update.deltas.length === 1 && last.update.sets.length === 0);
    assert.ok(b.sent.some((request) => request.kind === 'endpoint_ack' && request.push === 9));
    assert.equal(two.kinds().filter((kind) => kind === 'endpoints').length, 1);
    // A base that the agent itself lacks is asked for from the pilot.
    const lost = endpointDelta(setOf('orders', 5), setOf('orders', 6, '10.0.0.2'));
    b.hub.take({ kind: 'endpoints', push: 10, update: { sets: [], deltas: [lost] } });
    assert.ok(b.sent.some((r) => r.kind === 'want_endpoints' && r.clusters.includes('shop/orders:80')));
  });

  it('asks for parts that a manifest names and that never came, and delivers when they do', async (t) => {
    const b = await bench(t);
    b.pilot();
    const sidecar = b.sidecar();
    await eventually(() => subscribed(b.sent).length === 1);
    const { parts, sets, manifest } = wireOf(snapshotOf('web', ['orders']));
    b.hub.take({ kind: 'manifest', sidecar: web, push: 1, manifest });
    const wanted = b.sent.find((request) => request.kind === 'want_parts');
    assert.ok(wanted?.kind === 'want_parts');
    assert.deepEqual([...wanted.hashes].sort(), parts.map(({ hash }) => hash).sort());
    b.hub.take({ kind: 'parts', parts });
    b.hub.take({ kind: 'endpoints', push: 1, update: { sets, deltas: [] } });
    await eventually(() => sidecar.active !== undefined);
  });

  it('resolves names through the pilot, for each sidecar by its own question', async (t) => {
    const b = await bench(t);
    const api = 'shop/api.0@n1';
    await b.serve(api);
    b.pilot();
    const [one, two] = [b.sidecar(web), b.sidecar(api)];
    await eventually(() => subscribed(b.sent).length === 2);
    one.send({ kind: 'resolve', id: 1, name: 'orders' });
    two.send({ kind: 'resolve', id: 1, name: 'ordres' });
    const asked = await eventually(() => {
      const all = b.sent.filter((request) => request.kind === 'resolve');
      return all.length === 2 ? all : undefined;
    });
    const service = { namespace: 'shop', name: 'orders' };
    for (const { id, sidecar } of asked) {
      const answer =
        sidecar === web
          ? ({ kind: 'found', service } as const)
          : ({ kind: 'absent', suggestions: ['orders'] } as const);
      b.hub.take({ kind: 'resolved', id, sidecar, answer });
    }
    await eventually(() => one.kinds().includes('resolved') && two.kinds().includes('resolved'));
    assert.deepEqual(one.heard.at(-1), { kind: 'resolved', id: 1, answer: { kind: 'found', service } });
    assert.deepEqual(two.heard.at(-1), {
      kind: 'resolved',
      id: 1,
      answer: { kind: 'absent', suggestions: ['orders'] },
    });
    // What was found once is subscribed to at the next pilot.
    b.hub.disconnect();
    b.pilot();
    const again = subscribed(b.sent).find((r) => r.kind === 'subscribe' && r.sidecar === web);
    assert.deepEqual(again?.kind === 'subscribe' ? again.resolved : [], [service]);
  });

  it('counts as good what a sidecar confirmed after the pilot was lost', async (t) => {
    const b = await bench(t);
    b.pilot();
    const sidecar = b.sidecar();
    sidecar.verdict = 'silent';
    await eventually(() => subscribed(b.sent).length === 1);
    b.offer(web, snapshotOf('web', ['orders']), 1);
    await eventually(() => sidecar.kinds().includes('manifest'));
    b.hub.disconnect();
    sidecar.send({ kind: 'ack', push: 1, version: { epoch: 1, revision: 1 } });
    await eventually(() => b.hub.feed(web).good);
    b.pilot();
    assert.ok(!b.sent.some(({ kind }) => kind === 'ack'));
  });

  it('cuts off who speaks for another instance or no protocol, and serves the next', async (t) => {
    const b = await bench(t);
    const stranger = new ScriptedSidecar(t, b.path(web), 'shop/other.0@n1');
    await eventually(() => stranger.state === 'closed');
    const noise = b.sidecar();
    await eventually(() => noise.heard.length > 0);
    noise.sendRaw(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
    await eventually(() => noise.state === 'closed');
    const good = b.sidecar();
    await eventually(() => good.kinds().includes('welcome'));
    assert.equal(good.state, 'open');
  });

  it('has a private socket and takes no path that is something else', async (t) => {
    const b = await bench(t);
    assert.equal(statSync(b.path(web)).mode & 0o777, 0o600);
    const folder = tempFolder(t);
    const path = join(folder, 's');
    writeFileSync(path, 'a file');
    const server = (at: string) =>
      new RelayServer({
        instance: web,
        path: at,
        bootstrap: bootstrapOf(web),
        owner: undefined,
        hub: b.hub,
        log: silentLog,
      });
    await assert.rejects(server(path).listen(), /EADDRINUSE/);
    await assert.rejects(server(join(folder, 'x'.repeat(100), 's')).listen(), /longer than 107 bytes/);
  });
});
