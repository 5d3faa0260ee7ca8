/** The whole agent in this process, against a scripted pilot with a real authority and supervised real processes. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../kit/clock.ts';
import { systemRandom } from '../../../kit/random.ts';
import { readSvid } from '../../../mesh/svid.ts';
import { type AgentOptions, type RunningAgent, startAgent } from '../../../node-agent/agent.ts';
import { instanceFiles } from '../../../node-agent/plan/instance-plan.ts';
import { mark as marks } from '../../../node-agent/supervisor/marks.ts';
import { createProcessTable } from '../../../node-agent/supervisor/proc.ts';
import { FakePilot } from '../../support/agent/fake-pilot.ts';
import { ScriptedSidecar } from '../../support/agent/scripted-sidecar.ts';
import { snapshotOf, wireOf } from '../../support/agent/snapshots.ts';
import { fakeHeddle, workloadOf } from '../../support/agent/supervisor-bench.ts';
import { defer } from '../../support/cleanup.ts';
import { eventually, within } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { isAlive } from '../../support/process-table.ts';
import { type RecordingLog, recordingLog } from '../../support/recording-log.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const table = createProcessTable();

interface Host {
  readonly stateDir: string;
  readonly log: RecordingLog;
  start(options?: Partial<AgentOptions>): Promise<RunningAgent>;
  pids(): number[];
  killAll(): Promise<void>;
  sidecar(): ScriptedSidecar;
}

function host(t: TestContext, pilot: FakePilot): Host {
  const stateDir = join(tempFolder(t), 'state');
  const log = recordingLog();
  const pids = () => table.marked(marks.stateDir, stateDir).map(({ ref }) => ref.pid);
  const killAll = async () => {
    for (const pid of pids()) table.kill(pid, 'SIGKILL', 'process');
    await eventually(() => pids().length === 0);
  };
  defer(t, killAll);
  return {
    stateDir,
    log,
    pids,
    killAll,
    sidecar: () => new ScriptedSidecar(t, instanceFiles(stateDir, web).relaySocket, web),
    async start(options = {}) {
      const agent = await startAgent({
        node: 'n1',
        pilots: [pilot.address],
        token: undefined,
        joinPatienceMs: 0,
        stateDir,
        labels: { disk: 'ssd' },
        addresses: [],
        network: 'default',
        locality: { region: 'r', zone: 'z' },
        allowShortLifetimes: true,
        heddle: fakeHeddle,
        env: process.env,
        clock: systemClock,
        random: systemRandom,
        log,
        ...options,
      });
      defer(t, () => agent.close('leave'));
      return agent;
    },
  };
}

function nameIn(chain: string): string {
  return readSvid(new X509Certificate(chain).raw).name;
}

describe('agent', () => {
  it('joins, runs what is placed on it with an identity each, and reports it', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web', [], { account: 'front' }));
    const report = await eventually(() => {
      const found = pilot.instance(web);
      return found?.state === 'ready' ? found : undefined;
    });
    assert.deepEqual(report.addresses, ['127.0.0.1']);
    assert.ok(report.linkPort > 0);
    const facts = pilot.reports.find((message) => message.kind === 'facts');
    assert.deepEqual(facts?.kind === 'facts' ? facts.facts : undefined, {
      labels: { disk: 'ssd' },
      addresses: ['127.0.0.1'],
      network: 'default',
      locality: { region: 'r', zone: 'z' },
    });
    await eventually(() => pilot.reports.some(({ kind }) => kind === 'heartbeat'));
    assert.deepEqual(
      pilot.sequences,
      [...pilot.sequences].sort((a, b) => a - b),
    );
    const sidecar = h.sidecar();
    const identity = await eventually(() => sidecar.heard.find(({ kind }) => kind === 'identity'));
    assert.ok(identity.kind === 'identity');
    assert.equal(nameIn(identity.identity.certificateChain), 'spiffe://mesh.test/ns/shop/sa/front');
    const files = join(h.stateDir, 'identities');
    for (const name of readdirSync(files)) assert.equal(statSync(join(files, name)).mode & 0o777, 0o600);
  });

  it('starts everything from disk when no pilot answers, and sidecars get their configuration', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    const first = await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web'));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    const before = h.sidecar();
    await eventually(() => pilot.requests.some(({ kind }) => kind === 'subscribe'));
    const { parts, sets, manifest } = wireOf(snapshotOf('web', ['orders']));
    pilot.send({ kind: 'parts', parts });
    pilot.send({ kind: 'endpoints', push: 1, update: { sets, deltas: [] } });
    pilot.send({ kind: 'manifest', sidecar: web, push: 2, manifest });
    await eventually(() => pilot.requests.some(({ kind }) => kind === 'ack'));
    before.close();
    // The host goes down, and comes up with no pilot in the world.
    await first.close('leave');
    await h.killAll();
    pilot.close();
    const second = await h.start();
    await eventually(() => second.status().instances[0]?.state === 'ready');
    assert.equal(second.status().pilot, null);
    const after = h.sidecar();
    await eventually(() => after.active?.version.revision === 1);
    assert.ok(after.kinds().includes('identity'));
    // When pilots are back, they hear of it all without anything being started anew.
    const pids = h.pids();
    const reports = pilot.reports.length;
    await pilot.open();
    await eventually(() => pilot.reports.slice(reports).some(({ kind }) => kind === 'instances'));
    await eventually(() => second.status().pilot !== null);
    assert.deepEqual(h.pids(), pids);
    assert.ok(pilot.requests.some((r) => r.kind === 'subscribe' && r.manifestDigest !== ''));
  });

  it('leaves processes running when it ends, and takes them over', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    const first = await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web'));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    const pids = h.pids();
    await first.close('leave');
    assert.ok(pids.every(isAlive));
    const last = pilot.sequences.at(-1) ?? 0;
    const second = await h.start();
    await eventually(() => second.status().instances[0]?.state === 'ready');
    assert.deepEqual(h.pids(), pids);
    await eventually(() => pilot.sequences.at(-1) !== last);
    assert.ok((pilot.sequences.at(-1) ?? 0) > last, 'the second life counts on');
    await within(second.close('stop'), 'the stop');
    assert.deepEqual(h.pids(), []);
  });

  it('goes on when its state is damaged', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    const first = await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web'));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    const pids = h.pids();
    await first.close('leave');
    for (const name of ['instances', 'config', 'placement']) {
      for (const suffix of ['', '.prev']) {
        const path = join(h.stateDir, name + suffix);
        if (existsSync(path)) writeFileSync(path, 'garbage');
      }
    }
    writeFileSync(join(h.stateDir, 'identities', 'shop.web.web'), 'garbage');
    const second = await h.start();
    await eventually(() => second.status().instances[0]?.state === 'ready');
    assert.deepEqual(h.pids(), pids);
    const sidecar = h.sidecar();
    await eventually(() => sidecar.kinds().includes('identity'));
  });

  it('stops what is taken off the node and forgets its key', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web'));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    pilot.place();
    await eventually(() => pilot.reports.some((report) => report.kind === 'gone' && report.id === web));
    assert.ok(pilot.reports.some((r) => r.kind === 'instance' && r.instance.state === 'draining'));
    assert.deepEqual(h.pids(), []);
    assert.deepEqual(readdirSync(join(h.stateDir, 'identities')), ['node']);
  });

  it('renews short certificates and hands them on while streams go on', async (t) => {
    const pilot = await FakePilot.start(t, { leafMs: 3_000 });
    const h = host(t, pilot);
    await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web'));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    const sidecar = h.sidecar();
    const chains = () =>
      sidecar.heard.flatMap((m) => (m.kind === 'identity' ? m.identity.certificateChain : []));
    await eventually(() => new Set(chains()).size >= 4);
    const heartbeats = pilot.reports.length;
    await eventually(() => pilot.reports.length > heartbeats + 3);
    assert.equal(sidecar.state, 'open');
  });

  it('obeys the order to start an instance anew', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    await h.start({ token: await pilot.token() });
    pilot.place(workloadOf('web'));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    const before = h.pids();
    pilot.order({ kind: 'restart', id: 4, instance: web });
    pilot.order({ kind: 'restart', id: 5, instance: 'shop/no.0@n1' });
    await eventually(() => h.pids().length === 2 && h.pids().every((pid) => !before.includes(pid)));
    await eventually(() => pilot.instance(web)?.state === 'ready');
    const results = pilot.reports.filter((report) => report.kind === 'result');
    assert.deepEqual(
      results.map((result) => (result.kind === 'result' ? [result.id, result.done] : [])),
      [
        [4, true],
        [5, false],
      ],
    );
  });

  it('says in one line why it cannot start', async (t) => {
    const pilot = await FakePilot.start(t);
    const h = host(t, pilot);
    await assert.rejects(h.start(), /node n1 has not joined a mesh yet: give --token/);
    const token = await pilot.token();
    const wrongRoot = `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBA' : 'AAAA'}`;
    await assert.rejects(h.start({ token: 'nonsense' }), /join token is cut short or of another form/);
    await assert.rejects(h.start({ token: wrongRoot }), /not of the mesh that the join token is for/);
    await assert.rejects(
      h.start({ token, pilots: ['127.0.0.1:1'] }),
      /no pilot could be reached to join .*127\.0\.0\.1:1/,
    );
    const agent = await h.start({ token });
    await assert.rejects(h.start(), /another agent \(process \d+\) already runs/);
    await agent.close('leave');
    await assert.rejects(h.start({ node: 'n2' }), /belongs to node n1, not to n2/);
    const other = host(t, pilot);
    await assert.rejects(other.start({ token }), /the pilot refused to let n1 join: .*was used/);
    await assert.rejects(
      h.start({ stateDir: '/dev/null/x' }),
      /the state folder \/dev\/null\/x cannot be used/,
    );
    await assert.rejects(h.start({ stateDir: join(tempFolder(t), 'x'.repeat(90)) }), /too long a path/);
  });
});
