/** A sidecar that is configured by its agent while traffic flows: changes, renewals, refusals, an agent that goes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import type { AuthorizationPolicy, Cluster, Snapshot } from '../../mesh/model.ts';
import { startAgentStandIn } from '../support/agent-stand-in.ts';
import { eventually, within } from '../support/eventually.ts';
import { ask, open, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { addressesOf, describePair, endpointsOf, startSidecar } from '../support/static-pair.ts';

guardLeaks();

async function startLivePair(t: TestContext, served: Partial<Cluster['limits']> = {}) {
  const app = await startApp(t);
  const { mesh, caller, receiver } = await describePair({
    ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
    served,
  });
  const start = async (side: typeof caller) => {
    const agent = await startAgentStandIn(t, side, await mesh.bundle(side.account));
    const process = await startSidecar(t, [
      '--agent',
      agent.socketPath,
      '--instance',
      side.bootstrap.instance,
    ]);
    return { agent, process };
  };
  const shop = await start(receiver);
  const web = await start(caller);
  return { app, mesh, caller, receiver, shop, web, ...addressesOf(caller, receiver) };
}

const next = (snapshot: Snapshot, revision: number, change: Partial<Snapshot>): Snapshot => ({
  ...snapshot,
  ...change,
  version: { epoch: 1, revision },
});

function withPolicy(snapshot: Snapshot, revision: number, policy: AuthorizationPolicy): Snapshot {
  return next(snapshot, revision, {
    self: { ...snapshot.self, policies: [policy.name] },
    policies: new Map([[policy.name, policy]]),
  });
}

const denyAll: AuthorizationPolicy = {
  name: 'test/closed',
  action: 'deny',
  rules: [{ principals: ['*'], namespaces: [], methods: [], paths: [], ports: [] }],
};

describe('a sidecar configured by its agent', () => {
  it('says hello, acknowledges its snapshot and reports that it is ready', async (t) => {
    const { shop, outboundPort } = await startLivePair(t);
    assert.equal((await ask(outboundPort)).status, 200);
    const kinds = shop.agent.said.map((one) => (one.kind === 'status' ? `status ${one.state}` : one.kind));
    assert.deepEqual(kinds.slice(0, 3), ['hello', 'status starting', 'ack']);
    await eventually(() => shop.agent.said.some((one) => one.kind === 'status' && one.state === 'ready'));
  });

  it('ends live streams that a changed authorization no longer admits, and refuses new ones', async (t) => {
    const { shop, receiver, outboundPort } = await startLivePair(t);
    const stream = await open(outboundPort, { path: '/stream' });
    await once(stream, 'data');
    const ended = once(stream, 'error').catch(() => undefined);
    assert.equal((await shop.agent.push(withPolicy(receiver.snapshot, 2, denyAll))).kind, 'ack');
    await ended;
    assert.equal(stream.complete, false);
    assert.equal((await ask(outboundPort)).status, 403);
  });

  it('refuses a snapshot that does not compile, says why, and keeps the one before', async (t) => {
    const { web, caller, outboundPort } = await startLivePair(t);
    const [rule] = caller.snapshot.services.get('test/shop')?.ports[0]?.rules ?? [];
    assert.ok(rule);
    const bad = { ...rule, match: { ...rule.match, path: { kind: 'regex', value: '(' } as const } };
    const service = { namespace: 'test', name: 'shop' };
    const services = new Map([
      ['test/shop', { service, ports: [{ port: 80, protocol: 'http' as const, rules: [bad] }] }],
    ]);
    const answer = await web.agent.push(next(caller.snapshot, 2, { services }));
    assert.equal(answer.kind, 'nack');
    assert.ok(answer.kind === 'nack' && /path/.test(answer.problems[0]?.path ?? ''));
    assert.equal((await ask(outboundPort)).status, 200);
  });

  it('takes changed limits for the endpoints that it has', async (t) => {
    const { app, shop, receiver, outboundPort } = await startLivePair(t, { maxConnections: 1 });
    const stream = await open(outboundPort, { path: '/stream' });
    const { self } = receiver.snapshot;
    const inbound = self.inbound.map((port) => ({ ...port, limits: { ...port.limits, maxConnections: 8 } }));
    const pushed = await shop.agent.push(next(receiver.snapshot, 2, { self: { ...self, inbound } }));
    assert.equal(pushed.kind, 'ack');
    const reply = within(ask(outboundPort, { path: '/other' }), 'another connection to the application');
    assert.equal((await reply).status, 200);
    assert.equal(app.seen.length, 2);
    stream.destroy();
  });

  it('takes endpoint changes at once', async (t) => {
    const { web, mesh, linkPort, outboundPort } = await startLivePair(t);
    web.agent.sendEndpoints(endpointsOf(mesh, 80, [], 2));
    await eventually(async () => (await ask(outboundPort)).status === 503);
    web.agent.sendEndpoints(endpointsOf(mesh, 80, [linkPort], 3));
    await eventually(async () => (await ask(outboundPort)).status === 200);
  });

  it('asks for a name that no call declares, once for all who wait, and says what may have been meant', async (t) => {
    const { web, outboundPort } = await startLivePair(t);
    const replies = Promise.all([ask(outboundPort, { host: 'ghost' }), ask(outboundPort, { host: 'ghost' })]);
    const question = await eventually(() => web.agent.said.find((one) => one.kind === 'resolve'));
    web.agent.send({
      kind: 'resolved',
      id: question.id,
      answer: { kind: 'absent', suggestions: ['ghosts.other'] },
    });
    for (const { status, body } of await replies) {
      assert.equal(status, 404);
      assert.match(body, /did you mean ghosts\.other/);
    }
    assert.equal(web.agent.said.filter((one) => one.kind === 'resolve').length, 1);
  });

  it('renews its certificate under load without losing a request, and shows the new one', async (t) => {
    const { web, shop, mesh, outboundPort } = await startLivePair(t);
    let sent = 0;
    let failed = 0;
    let running = true;
    const load = Array.from({ length: 4 }, async () => {
      while (running) {
        const reply = await ask(outboundPort);
        sent++;
        if (reply.status !== 200) failed++;
      }
    });
    for (let renewal = 0; renewal < 10; renewal++) {
      web.agent.renew(await mesh.bundle('web'));
      shop.agent.renew(await mesh.bundle('shop'));
      const before = sent;
      await eventually(() => sent > before + 20);
    }
    running = false;
    await Promise.all(load);
    assert.equal(failed, 0);
    assert.ok(sent > 200);
  });

  it('keeps serving while its agent is away and takes up with the next', async (t) => {
    const { web, caller, outboundPort } = await startLivePair(t);
    await web.agent.close();
    for (let n = 0; n < 5; n++) assert.equal((await ask(outboundPort)).status, 200);
    web.agent.said.length = 0;
    await web.agent.listen();
    await eventually(() => web.agent.said.some((one) => one.kind === 'hello'));
    assert.equal((await web.agent.push(next(caller.snapshot, 5, {}))).kind, 'ack');
  });
});
