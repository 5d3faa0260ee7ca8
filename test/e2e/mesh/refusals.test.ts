/** Who is not let in, and that both sides say why: tokens, foreign certificates, foreign identities, changed policies. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import { eventually } from '../../support/eventually.ts';
import { ask, open } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { heddle, type Mesh, serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { runProcess } from '../../support/processes.ts';
import { WireNode } from '../../support/wire-node.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const api = 'shop/api.0@n2';
const shop = [
  workloadYaml('web', { node: 'n1', calls: ['api'] }),
  workloadYaml('api', { node: 'n2' }),
  serviceYaml('api'),
].join('');

/** What an agent of this name and token says when it tries to join. */
async function joinAs(t: Parameters<typeof startMesh>[0], mesh: Mesh, node: string, token: string) {
  const stateDir = `${mesh.folder}/try-${node}`;
  const to = ['--pilot', `127.0.0.1:${mesh.joinPort}`, '--state-dir', stateDir, '--log-level', 'warn'];
  return await runProcess(t, { args: [...heddle, 'agent', 'run', '--node', node, '--token', token, ...to] });
}

describe('a node that may not join', () => {
  it('hears why, and the pilot logs it: a used, a damaged, a foreign token and one for another node', async (t) => {
    const mesh = await startMesh(t, []);
    const other = await startMesh(t, []);
    const used = await mesh.token();
    const first = await WireNode.join(t, 'n1', used, mesh.joinPort);
    assert.equal(first.trustDomain, 'mesh.local');
    const damaged = used.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    const cases = [
      {
        node: 'n2',
        token: used,
        hears: /^heddle agent: the pilot refused to let n2 join: .+\n$/,
        logged: true,
      },
      { node: 'n3', token: damaged, hears: /^heddle agent: .*token.*\n$/, logged: false },
      {
        node: 'n4',
        token: await mesh.token('--node', 'n5'),
        hears: /^heddle agent: the pilot refused to let n4 join: .*n5.*\n$/,
        logged: true,
      },
      // It carries the root of its own mesh, so nothing is said to this one.
      {
        node: 'n6',
        token: await other.token(),
        hears: /^heddle agent: .* is not of the mesh that the join token is for\n$/,
        logged: false,
      },
    ];
    for (const { node, token, hears, logged } of cases) {
      const { code, stderr } = await joinAs(t, mesh, node, token);
      assert.equal(code, 1);
      assert.match(stderr, hears);
      if (logged) await eventually(() => said(mesh, 'join refused', `"node":"${node}"`));
    }
  });
});

describe('a certificate that does not fit', () => {
  it('of another mesh is refused by the pilot, and both logs have the reason', async (t) => {
    const mesh = await startMesh(t, ['n1'], { pilotFlags: ['--trust-domain', 'mine.test'] });
    // A pilot of another mesh takes the place of the one that the agent knows.
    await mesh.killPilot();
    const other = mesh.sibling({ pilotFlags: ['--trust-domain', 'other.test'] });
    await other.startPilot();
    const { agent } = mesh.host('n1');
    await eventually(() => /"reason":"[^"]*certificate[^"]*"/.exec(agent.stderr), {
      what: `a reason of the agent in ${agent.stderr}`,
      withinMs: 30_000,
    });
    await eventually(() => said(other, 'handshake failed', 'reason'), { what: 'a reason of the pilot' });
  });

  it('of another root but the right name is refused by the pilot, and both hear why', async (t) => {
    const mesh = await startMesh(t, []);
    const other = await startMesh(t, []);
    const mine = await WireNode.join(t, 'n1', await mesh.token(), mesh.joinPort);
    const stranger = await WireNode.join(t, 'n1', await other.token(), other.joinPort);
    // It trusts this mesh, so that only its own certificate is wrong.
    const { trustBundle } = mine.certificate;
    mine.show(stranger.pair, { ...stranger.certificate, trustBundle });
    const stream = mine.configure();
    assert.ok((await eventually(() => stream.ended)) instanceof MeshError);
    await eventually(() => said(mesh, 'handshake failed', 'its certificate is refused'));
  });

  it('for a workload of another node is not issued, and the log says why', async (t) => {
    const mesh = await startMesh(t, []);
    await mesh.apply(shop);
    const node = await WireNode.join(t, 'n1', await mesh.token(), mesh.joinPort);
    await node.report([]);
    await node.issue('shop', 'web');
    await assert.rejects(node.issue('shop', 'api'), /workload 'shop\/api' is not placed on node 'n1'/);
    await eventually(() => said(mesh, 'workload certificate refused', "is not placed on node 'n1'"));
  });
});

describe('a changed authorization', () => {
  it('applied by the command ends streams that it no longer admits, and no other', async (t) => {
    const mesh = await startMesh(t, ['n1', 'n2']);
    await mesh.apply(shop);
    await mesh.ready(web, api);
    const port = mesh.proxy(web);
    await eventually(async () => (await ask(port, { host: 'api.shop' })).status === 200);
    const stream = await open(port, { host: 'api.shop', path: '/stream' });
    const slow = ask(port, { host: 'api.shop', path: '/slow?1500' });
    let ticks = 0;
    let ended: string | undefined;
    stream.on('data', () => ticks++);
    stream.on('error', (error) => {
      ended = error.message;
    });
    stream.on('end', () => {
      ended = 'end';
    });
    await eventually(() => ticks > 5);
    await mesh.apply(`
apiVersion: heddle/v1
kind: AuthorizationPolicy
metadata: { name: no-streams, namespace: shop }
spec:
  action: DENY
  rules: [{ to: [{ operation: { paths: ['/stream'] } }] }]
`);
    await eventually(() => ended, { what: 'the end of the stream' });
    assert.equal((await slow).body, api);
    const denied = await ask(port, { host: 'api.shop', path: '/stream' });
    assert.equal(denied.status, 403);
    assert.match(denied.body, /shop\/no-streams/);
    await eventually(() =>
      /"path":"\/stream","status":\d+.*"flags":"[^"]*AD/.exec(mesh.log(api, 'access.log')),
    );
    assert.equal((await ask(port, { host: 'api.shop' })).body, api);
  });
});

/** Whether the pilot's log has a line with all of these. */
function said(mesh: Mesh, ...words: string[]): boolean {
  return mesh.pilot.stderr.split('\n').some((line) => words.every((word) => line.includes(word)));
}
