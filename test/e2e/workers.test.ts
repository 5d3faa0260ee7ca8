/** A sidecar as several worker processes on the same listening sockets. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { isAlive } from '../support/process-table.ts';
import { startProcess } from '../support/processes.ts';
import { describePair, type StartOptions, startStaticPair, startStaticSide } from '../support/static-pair.ts';
import { startLoad } from '../support/steady-load.ts';
import { tempFolder } from '../support/temp-folder.ts';

guardLeaks();

const two = { args: ['--workers', '2'] };

async function startPair(t: TestContext, start: StartOptions = two) {
  const app = await startApp(t);
  const ports = [{ port: 80, appPort: app.port, protocol: 'http' as const }];
  const pair = await startStaticPair(t, { ports, start: { caller: start, receiver: two } });
  /** Process ids of the caller's workers, by its admin page. */
  const workers = async (): Promise<number[]> => {
    const page = JSON.parse((await ask(pair.callerAdmin, { path: '/clusters' })).body) as {
      worker: number;
    }[];
    return page.map(({ worker }) => worker);
  };
  return { pair, workers };
}

const metric = (page: string, name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(page)?.[1]);

describe('a sidecar of two workers', () => {
  it('serves from both, and shows their sums on one admin page', async (t) => {
    const { pair, workers } = await startPair(t);
    const pids = await workers();
    assert.equal(new Set([...pids, pair.caller.pid]).size, 3);
    const count = 60;
    await Promise.all(
      Array.from({ length: count }, async () => assert.equal((await ask(pair.outboundPort)).status, 200)),
    );
    const { body } = await ask(pair.callerAdmin, { path: '/metrics' });
    assert.equal(metric(body, 'heddle_connections_total'), count);
    assert.match(
      body,
      new RegExp(`heddle_requests_total\\{.*destination="test/shop".*code="2xx".*\\} ${count}`),
    );
    assert.equal((await ask(pair.callerAdmin, { path: '/ready' })).status, 200);
  });

  it('loses only the connections of a worker that dies, and gets another', async (t) => {
    const { pair, workers } = await startPair(t);
    const [victim] = await workers();
    assert.ok(victim);
    const load = startLoad({ port: pair.outboundPort, connections: 4 });
    defer(t, async () => {
      await load.stop();
    });
    await eventually(() => load.sent > 50);
    process.kill(victim, 'SIGKILL');
    await eventually(async () => {
      const now = await workers();
      return now.length === 2 && !now.includes(victim);
    });
    const { failures } = await load.stop();
    assert.ok(failures.length <= 4, failures.join());
    assert.equal((await ask(pair.outboundPort)).status, 200);
  });

  it('lets what a broken worker has in flight end, replaces it, and counts it', async (t) => {
    const nodeArgs = ['--import', './test/support/programs/faults.mjs'];
    const { pair, workers } = await startPair(t, { ...two, nodeArgs });
    const before = await workers();
    const [victim = 0] = before;
    const load = startLoad({ port: pair.outboundPort, connections: 4 });
    defer(t, async () => {
      await load.stop();
    });
    await eventually(() => load.sent > 50);
    const inFlight = Array.from({ length: 8 }, () => ask(pair.outboundPort, { path: '/slow' }));
    await eventually(
      async () =>
        metric((await ask(pair.callerAdmin, { path: '/metrics' })).body, 'heddle_requests_active') >= 8,
    );
    process.kill(victim, 'SIGUSR2');
    for (const reply of await Promise.all(inFlight)) assert.equal(reply.body, 'slow');
    await eventually(async () => {
      const now = await workers();
      return now.length === 2 && !now.includes(victim) && now.includes(before[1] ?? 0);
    });
    const sentBefore = load.sent;
    await eventually(() => load.sent > sentBefore + 50);
    assert.deepEqual((await load.stop()).failures, []);
    const { body } = await ask(pair.callerAdmin, { path: '/metrics' });
    assert.equal(metric(body, 'heddle_workers_ended_total'), 1);
    const said = pair.caller.stderr;
    assert.match(said, /injected exception.*uncaught fault, ending/);
    assert.match(said, /"why":"1","message":"worker ended"/);
  });

  it('keeps no worker that cannot start, and tries until one can', async (t) => {
    const { mesh, caller } = await describePair({ ports: [] });
    const folder = tempFolder(t);
    const logs = join(folder, 'logs');
    mkdirSync(logs);
    const bootstrap = { ...caller.bootstrap, accessLogFile: join(logs, 'access.log') };
    const group = await startStaticSide(t, mesh, { ...caller, bootstrap }, two);
    const children = () =>
      readFileSync(`/proc/${group.pid}/task/${group.pid}/children`, 'utf8').trim().split(' ').map(Number);
    const before = children();
    assert.equal(before.length, 2);
    rmSync(logs, { recursive: true });
    process.kill(before[0] ?? 0, 'SIGKILL');
    const tries = () => group.stderr.split('worker did not come up').length - 1;
    await eventually(() => tries() >= 3);
    // The one that is left, and one that may be in its start.
    await eventually(() => children().length <= 2);
    mkdirSync(logs);
    await group.printed(/worker replaced/);
    await eventually(() => children().length === 2);
    const { admin } = bootstrap;
    assert.ok('port' in admin);
    const page = JSON.parse((await ask(admin.port, { path: '/clusters' })).body) as unknown[];
    assert.equal(page.length, 2);
  });

  it('says at its start that its workers would have too little memory each', async (t) => {
    const args = ['bin/heddle.mjs', 'sidecar', 'run', '--config', 'none.json'];
    const group = await startProcess(t, {
      command: process.execPath,
      args: [...args, '--workers', '8', '--memory-limit', '256Mi'],
    });
    assert.equal((await group.exited).code, 1);
    assert.match(group.stderr, /8 workers need a memory limit of at least 512Mi/);
  });

  it('is replaced by another group of workers without losing a request', async (t) => {
    const { pair } = await startPair(t);
    const load = startLoad({ port: pair.outboundPort, connections: 4 });
    defer(t, async () => {
      await load.stop();
    });
    await eventually(() => load.sent > 50);
    pair.caller.signal('SIGHUP');
    // Its outputs stay open, for the successor has inherited them.
    await eventually(() => !isAlive(pair.caller.pid), { withinMs: 40_000 });
    const { body } = await ask(pair.callerAdmin, { path: '/metrics' });
    const successor = metric(body, 'heddle_process_pid');
    defer(t, () => {
      process.kill(successor, 'SIGTERM');
    });
    const sentBefore = load.sent;
    await eventually(() => load.sent > sentBefore + 50);
    assert.deepEqual((await load.stop()).failures, []);
    assert.notEqual(successor, pair.caller.pid);
  });

  it('drains all workers on SIGTERM and exits with 0', async (t) => {
    const { pair, workers } = await startPair(t);
    const pids = await workers();
    const inFlight = [ask(pair.outboundPort, { path: '/slow' }), ask(pair.outboundPort, { path: '/slow' })];
    await eventually(
      async () =>
        metric((await ask(pair.callerAdmin, { path: '/metrics' })).body, 'heddle_requests_active') === 2,
    );
    pair.caller.signal('SIGTERM');
    for (const reply of await Promise.all(inFlight)) assert.equal(reply.body, 'slow');
    assert.equal((await pair.caller.exited).code, 0);
    assert.ok(pids.every((pid) => !isAlive(pid)));
  });

  it('takes its workers along when it is killed, so that its ports are free again', async (t) => {
    const { pair, workers } = await startPair(t);
    const pids = await workers();
    pair.caller.signal('SIGKILL');
    await eventually(() => pids.every((pid) => !isAlive(pid)));
    await eventually(() =>
      ask(pair.outboundPort).then(
        () => false,
        ({ code }) => code === 'ECONNREFUSED',
      ),
    );
  });
});
