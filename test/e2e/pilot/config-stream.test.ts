/** A pilot and node agents over real gRPC with real certificates: joining, configuration, reports, refusals. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import { readSvid } from '../../../mesh/svid.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type RunningPilot, runningPilot } from '../../support/running-pilot.ts';
import { instanceReport, WireNode } from '../../support/wire-node.ts';

guardLeaks();

const shop = `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { node: one, account: front, ports: [{ name: http, port: 8080 }], calls: [{ service: orders }] }
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders, namespace: shop, labels: { app: orders } }
spec: { node: two, ports: [{ name: http, port: 3000 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: pricing, namespace: shop }
spec: { ports: [{ port: 80 }] }
`;

const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: split, namespace: shop }
spec:
  parentRefs: [{ kind: Service, group: '', name: orders }]
  rules: [{ backendRefs: [{ name: pricing, port: 80 }] }]
`;

const sidecar = 'shop/web.0@one';
const cluster = 'shop/orders:80';

async function join(t: TestContext, pilot: RunningPilot, name: string): Promise<WireNode> {
  return await WireNode.join(t, name, await pilot.token(), pilot.pilot.joinPort);
}

/** A pilot with the shop applied, node `two` running an instance of orders, and `one` subscribed for web. */
async function started(t: TestContext) {
  const pilot = await runningPilot(t);
  await pilot.apply(shop);
  const two = await join(t, pilot, 'two');
  const reports = await two.report([instanceReport('shop/orders.0@two')]);
  const one = await join(t, pilot, 'one');
  await one.report([]);
  const stream = one.configure();
  // The node is known once its facts came around through the store.
  await eventually(() => one.agent.of('placement').some(({ placement }) => placement.workloads.length === 1));
  one.agent.subscribe(sidecar);
  await eventually(() => one.agent.snapshot(sidecar) !== undefined);
  return { pilot, one, two, reports, stream };
}

function ids(node: WireNode): string[] | undefined {
  return node.agent
    .snapshot(sidecar)
    ?.endpoints.get(cluster)
    ?.endpoints.map(({ id }) => id);
}

function codeIs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof MeshError && error.code === code;
}

describe('a pilot and its agents', () => {
  it('configures a node that joined: placement, snapshot, changes, endpoints, status', async (t) => {
    const { pilot, one, reports } = await started(t);
    assert.deepEqual(ids(one), ['shop/orders.0@two']);

    one.agent.received.length = 0;
    await reports.say({ kind: 'instance', instance: instanceReport('shop/orders.1@two') });
    await eventually(() => ids(one)?.length === 2);
    assert.deepEqual(
      one.agent.received.map((message) => message.kind),
      ['endpoints'],
    );
    await reports.say({ kind: 'gone', id: 'shop/orders.0@two' });
    await eventually(() => ids(one)?.length === 1);

    await pilot.apply(route);
    await eventually(() => one.agent.snapshot(sidecar)?.clusters.has('shop/pricing:80'));
    const { sidecars } = await eventually(async () => {
      const status = await pilot.get('/v1/status');
      return status.sidecars[0]?.pending === undefined ? status : undefined;
    });
    assert.deepEqual(sidecars, [{ sidecar, node: 'one', acked: one.agent.snapshot(sidecar)?.version }]);
  });

  it('shows a refusal with its reasons until a later version is taken', async (t) => {
    const { pilot, one } = await started(t);
    const problems = [{ path: 'service[shop/orders].ports[0]', message: 'does not compile' }];
    one.agent.verdict = () => problems;
    await pilot.apply(route);
    const nack = await eventually(async () => (await pilot.get('/v1/status')).sidecars[0]?.nack);
    assert.deepEqual(nack.problems, problems);
    one.agent.verdict = () => 'ack';
    await pilot.apply(route.replace('pricing', 'orders'));
    await eventually(async () => (await pilot.get('/v1/status')).sidecars[0]?.nack === undefined);
  });

  it('answers names, found and absent', async (t) => {
    const { one } = await started(t);
    one.agent.resolve(sidecar, 'pricing.shop');
    one.agent.resolve(sidecar, 'pricinng');
    await eventually(() => one.agent.of('resolved').length === 2);
    assert.ok(one.agent.snapshot(sidecar)?.services.has('shop/pricing'));
    const answers = one.agent.of('resolved').map(({ answer }) => answer.kind);
    assert.deepEqual(answers.sort(), ['absent', 'found']);
  });

  it('sends nothing again to an agent that comes back with what it holds', async (t) => {
    const { one, stream } = await started(t);
    stream.close();
    await eventually(() => stream.ended);
    one.agent.received.length = 0;
    one.configure();
    await eventually(() => one.agent.of('placement').length > 0);
    one.agent.resolve(sidecar, 'nobody-knows');
    await eventually(() => one.agent.of('resolved').length === 1);
    assert.deepEqual(
      one.agent.received.map((message) => message.kind),
      ['hello', 'trust', 'placement', 'resolved'],
    );
  });

  it('has one Config stream per node: a later one ends the earlier', async (t) => {
    const { one, stream } = await started(t);
    one.configure();
    assert.match((await eventually(() => stream.ended)).message, /replaced/);
  });

  it('gives a node certificates for what is placed on it, and for nothing else', async (t) => {
    const { one } = await started(t);
    const issued = await one.issue('shop', 'web');
    const leaf = new X509Certificate(issued.certificate.certificateChain);
    assert.equal(readSvid(leaf.raw).name, 'spiffe://mesh.test/ns/shop/sa/front');
    await assert.rejects(one.issue('shop', 'orders'), codeIs('denied'));
    await assert.rejects(one.issue('shop', 'ghost'), codeIs('denied'));
    await one.renew();
    await one.issue('shop', 'web');
  });

  it('refuses a workload’s certificate where a node’s is asked for', async (t) => {
    const { one } = await started(t);
    const { pair, certificate } = await one.issue('shop', 'web');
    one.show(pair, certificate);
    const stream = one.configure();
    const ended = await eventually(() => stream.ended);
    assert.ok(codeIs('identity_refused')(ended), String(ended));
    await assert.rejects(one.issue('shop', 'web'), codeIs('identity_refused'));
    await assert.rejects(one.report([]), codeIs('identity_refused'));
  });

  it('refuses a certificate of another mesh at the handshake', async (t) => {
    const { one } = await started(t);
    const other = await runningPilot(t);
    const stranger = await join(t, other, 'one');
    // It trusts our roots, so that only its own certificate is wrong.
    const { trustBundle } = one.certificate;
    const intruder = new WireNode(t, 'one', {
      pair: stranger.pair,
      certificate: { ...stranger.certificate, trustBundle },
      trustDomain: 'mesh.test',
      pilots: [one.pilot],
    });
    const stream = intruder.configure();
    const ended = await eventually(() => stream.ended);
    assert.ok(codeIs('unavailable')(ended), String(ended));
    assert.deepEqual(intruder.agent.received, []);
  });

  it('refuses a node that speaks for another', async (t) => {
    const { one, pilot } = await started(t);
    await assert.rejects(one.report([], 'two'), codeIs('identity_refused'));
    await assert.rejects(one.report([instanceReport('shop/orders.0@two')]), codeIs('denied'));
    const instances = (await pilot.get('/v1/instances')).items.map(({ id }: { id: string }) => id);
    assert.deepEqual(instances, ['shop/orders.0@two']);
  });

  it('lets a token in once', async (t) => {
    const pilot = await runningPilot(t);
    const token = await pilot.token('one');
    const { joinPort } = pilot.pilot;
    await assert.rejects(WireNode.join(t, 'two', token, joinPort), codeIs('denied'));
    await WireNode.join(t, 'one', token, joinPort);
    await assert.rejects(WireNode.join(t, 'one', token, joinPort), codeIs('denied'));
    await assert.rejects(WireNode.join(t, 'one', 'heddle1.no', joinPort), codeIs('invalid'));
  });

  it('takes agents back after a restart on the same store, with the same authority', async (t) => {
    const { pilot, one, stream } = await started(t);
    const { folder } = pilot;
    await pilot.pilot.close();
    assert.ok(codeIs('unavailable')(await eventually(() => stream.ended)));
    const port = Number(one.pilot.split(':').at(-1));
    const again = await runningPilot(t, { dataFolder: folder, listen: { host: '127.0.0.1', port } });
    one.agent.received.length = 0;
    one.configure();
    await eventually(() => one.agent.of('placement').length > 0);
    one.agent.resolve(sidecar, 'nobody-knows');
    await eventually(() => one.agent.of('resolved').length === 1);
    assert.deepEqual(one.agent.of('manifest'), []);
    assert.equal((await again.get('/v1/status')).sidecars.length, 1);
  });
});
