/** `heddle agent` as processes: killed and started again under load, asked for its status, told to end. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AgentStatus } from '../../../node-agent/control.ts';
import { mark as marks } from '../../../node-agent/supervisor/marks.ts';
import { createProcessTable } from '../../../node-agent/supervisor/proc.ts';
import { FakePilot } from '../../support/agent/fake-pilot.ts';
import { application, fakeHeddle, workloadOf } from '../../support/agent/supervisor-bench.ts';
import { defer } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { isAlive } from '../../support/process-table.ts';
import { type RunningProcess, runProcess, startProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const heddle = join(import.meta.dirname, '../../../bin/heddle.mjs');
const web = 'shop/web.0@n1';
const table = createProcessTable();

/** Only root may start processes of others, and they must be able to reach this Node. */
const nobodySkip = (() => {
  if (process.geteuid?.() !== 0) return 'needs root';
  const tried = spawnSync(process.execPath, ['--version'], { uid: 65_534, gid: 65_534 });
  return tried.status === 0 ? false : 'this Node cannot be reached by others than root';
})();

async function bench(t: TestContext) {
  const pilot = await FakePilot.start(t);
  const folder = tempFolder(t);
  const stateDir = join(folder, 'state');
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, await pilot.token());
  const running = () => table.marked(marks.stateDir, stateDir);
  defer(t, async () => {
    for (const { ref } of running()) table.kill(ref.pid, 'SIGKILL', 'process');
    await eventually(() => running().length === 0);
  });
  const flags = ['--node', 'n1', '--state-dir', stateDir];
  const run = [heddle, 'agent', 'run', ...flags, '--pilot', pilot.address, '--token-file', tokenFile];
  const args = [...run, '--heddle-binary', fakeHeddle[1] ?? '', '--print-ready', '--log-level', 'warn'];
  const start = async (...more: readonly string[]): Promise<RunningProcess> => {
    const agent = await startProcess(t, { args: [...args, ...more] });
    await agent.printed(/"ready":true/);
    return agent;
  };
  const status = async (): Promise<AgentStatus> => {
    const { stdout } = await runProcess(t, {
      args: [heddle, 'agent', 'status', '--state-dir', stateDir, '--json'],
    });
    return JSON.parse(stdout);
  };
  const pids = () => running().map(({ ref }) => ref.pid);
  return { pilot, stateDir, args, start, status, running, pids };
}

/** Asks the application again and again until told to end; answers how often it did and did not answer. */
function load(port: number): { end(): Promise<{ readonly good: number; readonly bad: number }> } {
  let state: 'on' | 'off' = 'on';
  const counts = { good: 0, bad: 0 };
  const once = () =>
    new Promise<void>((resolve) => {
      const request = get({ host: '127.0.0.1', port, agent: false }, (response) => {
        response.resume().on('end', () => {
          counts.good++;
          resolve();
        });
      });
      request.on('error', () => {
        counts.bad++;
        resolve();
      });
    });
  const loop = (async () => {
    while (state === 'on') await once();
  })();
  return {
    async end() {
      state = 'off';
      await loop;
      return counts;
    },
  };
}

describe('heddle agent run', () => {
  it('killed again and again under load, loses no process, no request, and starts nothing twice', async (t) => {
    const b = await bench(t);
    let agent = await b.start();
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.state === 'ready');
    const pids = b.pids();
    assert.equal(pids.length, 2);
    const app = b.running().find(({ env }) => env[marks.role] === 'app');
    const traffic = load(Number(Object.entries(app?.env ?? {}).find(([name]) => name === 'PORT')?.[1]));
    for (let kill = 0; kill < 5; kill++) {
      agent.signal('SIGKILL');
      await agent.exited;
      agent = await b.start();
      await eventually(async () => (await b.status()).instances[0]?.state === 'ready');
      assert.deepEqual(b.pids(), pids);
    }
    const { good, bad } = await traffic.end();
    assert.ok(good > 0);
    assert.equal(bad, 0);
    assert.equal((await b.status()).instances[0]?.restarts, 0);
  });

  it('killed while a change is refused, goes on with what ran and says again why', async (t) => {
    const b = await bench(t);
    const agent = await b.start();
    b.pilot.place(workloadOf('web'));
    const ready = await eventually(() => {
      const report = b.pilot.instance(web);
      return report?.state === 'ready' && report;
    });
    b.pilot.place(workloadOf('web', [], { user: 'no-such-user' }));
    const refused = { ...ready, reason: 'not changed: there is no user "no-such-user" on this node' };
    await eventually(() => b.pilot.instance(web)?.reason === refused.reason);
    const pids = b.pids();
    agent.signal('SIGKILL');
    await agent.exited;
    b.pilot.reports.length = 0;
    await b.start();
    // The refused placement itself may have been lost with the agent; the pilot sends it again.
    const isRefused = () => {
      const report = b.pilot.instance(web);
      return report?.state === 'ready' && report.reason === refused.reason;
    };
    await eventually(isRefused);
    assert.deepEqual(b.pilot.instance(web), refused);
    assert.deepEqual(b.pids(), pids);
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.reason === '');
  });

  it('brings back what died while there was no agent', async (t) => {
    const b = await bench(t);
    const agent = await b.start();
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.state === 'ready');
    agent.signal('SIGKILL');
    await agent.exited;
    const app = b.running().find(({ env }) => env[marks.role] === 'app')?.ref.pid ?? 0;
    process.kill(app, 'SIGKILL');
    await eventually(() => !isAlive(app));
    await b.start();
    await eventually(() => b.pids().length === 2 && !b.pids().includes(app));
  });

  it('is one to a state folder: the second says so and exits with 1', async (t) => {
    const b = await bench(t);
    const first = await b.start();
    const second = await runProcess(t, { args: b.args });
    assert.equal(second.code, 1);
    assert.equal(
      second.stderr,
      `heddle agent: another agent (process ${first.pid}) already runs with the state folder ${b.stateDir}: stop it, or choose another --state-dir\n`,
    );
  });

  it('leaves processes to the next agent on SIGTERM, and drains and stops them on SIGINT', async (t) => {
    const b = await bench(t);
    const first = await b.start();
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.state === 'ready');
    const pids = b.pids();
    first.signal('SIGTERM');
    assert.deepEqual(await first.exited, { code: 0, signal: null });
    assert.deepEqual(b.pids(), pids);
    const second = await b.start();
    await eventually(async () => (await b.status()).instances[0]?.state === 'ready');
    second.signal('SIGINT');
    assert.deepEqual(await second.exited, { code: 0, signal: null });
    assert.deepEqual(b.pids(), []);
  });

  it('shows what it runs on its own host', async (t) => {
    const b = await bench(t);
    const silent = await runProcess(t, { args: [heddle, 'agent', 'status', '--state-dir', b.stateDir] });
    assert.equal(silent.code, 1);
    assert.match(
      silent.stderr,
      /^heddle agent: no agent answers on .*control\.sock: .*(?:--state-dir|heddle agent run`)\n$/,
    );
    await b.start();
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.state === 'ready');
    const { stdout } = await runProcess(t, { args: [heddle, 'agent', 'status', '--state-dir', b.stateDir] });
    assert.match(stdout, /^node n1, agent \d+, pilot 127\.0\.0\.1:\d+\n/);
    assert.match(stdout, /shop\/web\.0@n1 +ready +\d+ +\d+ +0 +http:\/\/127\.0\.0\.1:\d+ +\d+ +20\d\d-/);
  });

  it('tells what interception must know, and refuses where processes cannot be told apart', async (t) => {
    const b = await bench(t);
    await b.start('--transparent');
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.state === 'ready');
    const ports = (await b.status()).instances[0]?.intercepted;
    const intercept = (...flags: string[]) =>
      runProcess(t, {
        args: [heddle, 'agent', 'intercept', '--dry-run', '--state-dir', b.stateDir, ...flags],
      });
    const told = await intercept('--workload', 'shop/web', '--sidecar-user', '54321');
    assert.equal(told.code, 0, told.stderr);
    assert.match(
      told.stdout,
      new RegExp(`meta skuid 54321 return\n\t\tmeta skuid != ${process.getuid?.()} return`),
    );
    assert.match(told.stdout, new RegExp(`redirect to :${ports?.outboundPort}\n`));
    assert.match(
      told.stdout,
      new RegExp(`tcp dport \\{ ${ports?.appPorts[0]} \\} redirect to :${ports?.inboundPort}\n`),
    );
    assert.match((await intercept('--workload', 'shop/web')).stderr, /cannot be told apart/);
    assert.match((await intercept('--workload', 'shop/wep')).stderr, /did you mean shop\/web\?/);
  });

  it('runs sidecars as a user of their own, with a log that they can open', {
    skip: nobodySkip,
  }, async (t) => {
    const b = await bench(t);
    // That user must be able to pass the test's folder and to read the stand-in for a sidecar.
    chmodSync(dirname(b.stateDir), 0o711);
    const copy = join(dirname(b.stateDir), 'heddle.mjs');
    copyFileSync(fakeHeddle[1] ?? '', copy);
    await b.start('--sidecar-user', 'nobody', '--heddle-binary', copy);
    b.pilot.place(workloadOf('web'));
    await eventually(() => b.pilot.instance(web)?.state === 'ready');
    const { sidecarPid, appPid } = (await b.status()).instances[0] ?? {};
    const uidOf = (pid: number | null | undefined) => statSync(`/proc/${pid}`).uid;
    assert.deepEqual([uidOf(sidecarPid), uidOf(appPid)], [65_534, 0]);
    const log = join(b.stateDir, 'logs', 'shop.web.0', 'access.log');
    const appended = spawnSync('sh', ['-c', `echo line >> ${log}`], { uid: 65_534, gid: 65_534 });
    assert.equal(appended.status, 0, String(appended.stderr));
    assert.equal(spawnSync('ls', [dirname(log)], { uid: 65_534, gid: 65_534 }).status, 2);
  });

  it('runs an application as the user that its Workload names, at home in a folder of its own', {
    skip: nobodySkip,
  }, async (t) => {
    const b = await bench(t);
    chmodSync(dirname(b.stateDir), 0o711);
    const [copy, program] = ['heddle.mjs', 'app.mjs'].map((name) => join(dirname(b.stateDir), name));
    copyFileSync(fakeHeddle[1] ?? '', copy ?? '');
    copyFileSync(application, program ?? '');
    await b.start('--heddle-binary', copy ?? '');
    b.pilot.place(workloadOf('web', [], { command: [process.execPath, program ?? ''], user: 'nobody' }));
    await eventually(() => b.pilot.instance(web)?.state === 'ready', {
      what: `ready, not: ${b.pilot.instance(web)?.reason}`,
    });
    const { sidecarPid, appPid } = (await b.status()).instances[0] ?? {};
    for (const pid of [sidecarPid, appPid]) assert.equal(statSync(`/proc/${pid}`).uid, 65_534);
    const folder = join(b.stateDir, 'work', 'shop.web.0');
    assert.equal(readlinkSync(`/proc/${appPid}/cwd`), folder);
    const { uid, mode } = statSync(folder);
    assert.deepEqual([uid, mode & 0o777], [65_534, 0o700]);
    const { env } = b.running().find(({ ref }) => ref.pid === appPid) ?? {};
    assert.equal(env?.['USER'], 'nobody');
  });

  it('refuses flags that it cannot understand', async (t) => {
    const run = (...flags: string[]) => runProcess(t, { args: [heddle, 'agent', 'run', ...flags] });
    for (const [flags, message] of [
      [['--pilot', 'nowhere'], /pilot address "nowhere" is not HOST:PORT/],
      [['--label', 'disk'], /expected KEY=VALUE/],
      [['--address', 'example.org'], /expected a literal IPv4 or IPv6 address/],
      [['--token-file', '/no/token', '--state-dir', '/dev/null/x'], /the join token cannot be read/],
    ] as const) {
      const { code, stderr } = await run(...flags);
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
  });
});
