/** The supervisor with real processes: start, death, adoption, strangers, changes, stop. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { writeSaved } from '../../../../node-agent/disk/saved-file.ts';
import { instanceFiles } from '../../../../node-agent/plan/instance-plan.ts';
import { createProcessTable } from '../../../../node-agent/supervisor/proc.ts';
import { placementOf, supervisorBench, workloadOf } from '../../../support/agent/supervisor-bench.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually, within } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { isAlive } from '../../../support/process-table.ts';
import { mark } from '../../../support/processes.ts';

guardLeaks();

const id = 'shop/web.0@n1';

/** The application's answer: its environment. */
function environmentOf(port: number): Promise<Map<string, string>> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(new Map(Object.entries(JSON.parse(body)))));
    }).on('error', reject);
  });
}

function portIn(folder: string): number {
  const saved = readFileSync(join(folder, 'instances'), 'utf8');
  return JSON.parse(saved.slice(saved.indexOf('\n') + 1))[id].ports['app/8080'];
}

describe('supervisor', () => {
  it('starts sidecar and application, tells the application where, and passes no secret on', async (t) => {
    const bench = supervisorBench(t);
    Object.assign(process.env, { AGENT_SECRET: 'hidden' });
    const supervisor = bench.open();
    const call = {
      service: { namespace: 'shop', name: 'order-book' },
      port: 80,
      protocol: 'http' as const,
      localPort: undefined,
    };
    await supervisor.apply(
      placementOf(workloadOf('web', [], { calls: [call], env: { OWN: 'on $(PORT)', HEDDLE_PROXY: 'mine' } })),
    );
    const report = await bench.ready(supervisor, id);
    assert.ok(report.linkPort > 0);
    await eventually(() => portIn(bench.stateDir));
    const env = await environmentOf(portIn(bench.stateDir));
    assert.equal(env.get('PORT'), String(portIn(bench.stateDir)));
    assert.equal(env.get('HEDDLE_PORT_HTTP'), env.get('PORT'));
    assert.match(env.get('HEDDLE_PROXY') ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(env.get('HEDDLE_ORDER_BOOK_ADDR') ?? '', /^127\.0\.0\.1:\d+$/);
    assert.equal(env.get('HEDDLE_ORDER_BOOK_80_ADDR'), env.get('HEDDLE_ORDER_BOOK_ADDR'));
    assert.equal(env.get('OWN'), `on ${env.get('PORT')}`);
    assert.equal(env.get('AGENT_SECRET'), undefined);
    assert.match(readFileSync(join(bench.logFolder(id), 'app.out.log'), 'utf8'), /listening/);
    await within(supervisor.stopAll(), 'the stop');
    assert.equal(bench.running().size, 0);
  });

  it('brings back what was killed, and leaves the other alone', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(placementOf(workloadOf('web')));
    await bench.ready(supervisor, id);
    for (const role of ['sidecar', 'app']) {
      const before = bench.running();
      const [pid = 0] = before.get(`${role} ${id}`) ?? [];
      process.kill(pid, 'SIGKILL');
      await eventually(() => !(bench.running().get(`${role} ${id}`) ?? [pid]).includes(pid));
      await bench.ready(supervisor, id);
      const other = role === 'app' ? 'sidecar' : 'app';
      assert.deepEqual(bench.running().get(`${other} ${id}`), before.get(`${other} ${id}`));
    }
    assert.equal(supervisor.reports()[0]?.restarts, 2);
  });

  it('goes on with the successor that a sidecar started itself', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(placementOf(workloadOf('web')));
    await bench.ready(supervisor, id);
    const [old = 0] = bench.running().get(`sidecar ${id}`) ?? [];
    process.kill(old, 'SIGHUP');
    await eventually(() => !isAlive(old));
    const [heir = 0] = bench.running().get(`sidecar ${id}`) ?? [];
    await eventually(() => supervisor.placed()[0]?.running.sidecar?.ref.pid === heir);
    assert.equal(supervisor.reports()[0]?.restarts, 0);
    process.kill(heir, 'SIGKILL');
    await eventually(() => supervisor.reports()[0]?.restarts === 1);
    await bench.ready(supervisor, id);
  });

  it('lets both drain where it stops a sidecar that is handing over', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(placementOf(workloadOf('web')));
    await bench.ready(supervisor, id);
    const sidecars = () => bench.running().get(`sidecar ${id}`) ?? [];
    const [old = 0] = sidecars();
    process.kill(old, 'SIGHUP');
    const run = dirname(instanceFiles(bench.stateDir, id).relaySocket);
    // It takes over the predecessor's socket once it can be told to end.
    const both = await eventually(() => (sidecars().length === 2 ? sidecars() : undefined));
    await eventually(() => existsSync(join(run, `serving.${both.find((pid) => pid !== old)}`)));
    await within(supervisor.stopAll(), 'the stop');
    assert.deepEqual(
      both.map((pid) => existsSync(join(run, `ended.${pid}`))),
      [true, true],
    );
    assert.equal(bench.running().size, 0);
  });

  it('ends what a killed application leaves behind, even in a session of its own', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(placementOf(workloadOf('web', ['stray'])));
    await bench.ready(supervisor, id);
    const pids = await eventually(() => {
      const seen = bench.running().get(`app ${id}`) ?? [];
      return seen.length === 2 ? seen : undefined;
    });
    const oldest = Math.min(...pids);
    process.kill(oldest, 'SIGKILL');
    await eventually(() => pids.every((pid) => !isAlive(pid)));
    await bench.ready(supervisor, id);
  });

  for (const loss of ['nothing', 'notes', 'damaged notes'] as const) {
    it(`adopts what runs after the agent was killed and lost ${loss}`, async (t) => {
      const bench = supervisorBench(t);
      const first = bench.open();
      await first.apply(placementOf(workloadOf('web')));
      const report = await bench.ready(first, id);
      const before = bench.running();
      first.close();
      const notes = join(bench.stateDir, 'instances');
      if (loss !== 'nothing') {
        for (const path of [notes, `${notes}.prev`])
          writeFileSync(path, loss === 'notes' ? '' : 'heddle 1 zz');
      }
      const second = bench.open();
      await second.apply(placementOf(workloadOf('web')));
      assert.deepEqual(await bench.ready(second, id), report);
      assert.deepEqual(bench.running(), before);
      const [sidecar = 0] = before.get(`sidecar ${id}`) ?? [];
      process.kill(sidecar, 'SIGKILL');
      await eventually(() => !(bench.running().get(`sidecar ${id}`) ?? [sidecar]).includes(sidecar));
      await bench.ready(second, id);
      assert.deepEqual(bench.running().get(`app ${id}`), before.get(`app ${id}`));
    });
  }

  it('does not touch a stranger that has the process id of one of its own', async (t) => {
    const bench = supervisorBench(t);
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', mark], {
      stdio: 'ignore',
    });
    defer(t, async () => {
      stranger.kill('SIGKILL');
      await eventually(() => stranger.signalCode !== null);
    });
    const first = bench.open();
    await first.apply(placementOf(workloadOf('web')));
    await bench.ready(first, id);
    first.close();
    const own = [...bench.running().values()].flat();
    for (const pid of own) process.kill(pid, 'SIGKILL');
    await eventually(() => bench.running().size === 0);
    // The notes now name the stranger's process id with another start time, as after a wrap of process ids.
    const path = join(bench.stateDir, 'instances');
    const saved = readFileSync(path, 'utf8');
    // Said outright: both may have begun within one tick of the kernel's clock.
    const before = (createProcessTable().stat(stranger.pid ?? 0)?.ref.startTicks ?? 0) - 1;
    const changed = saved
      .slice(saved.indexOf('\n') + 1)
      .replaceAll(/"pid":\d+/g, `"pid":${stranger.pid}`)
      .replaceAll(/"startTicks":\d+/g, `"startTicks":${before}`);
    assert.match(changed, /"startTicks":/);
    writeSaved(path, Buffer.from(changed));
    const second = bench.open();
    await second.apply(placementOf(workloadOf('web')));
    await bench.ready(second, id);
    await second.apply(placementOf());
    await eventually(() => bench.running().size === 0);
    assert.equal(stranger.signalCode ?? stranger.exitCode, null);
  });

  it('reports what cannot be started as it is asked, and lets what runs go on', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    const stranger = { user: 'no-such-user' };
    await supervisor.apply(placementOf(workloadOf('web'), workloadOf('api', [], stranger)));
    const web = await bench.ready(supervisor, id);
    const [api] = supervisor.refused();
    assert.deepEqual([api?.id, api?.state], ['shop/api.0@n1', 'unready']);
    assert.equal(api?.reason, 'there is no user "no-such-user" on this node');
    assert.deepEqual(bench.told('shop/api.0@n1'), api);
    const before = bench.running();
    await supervisor.apply(placementOf(workloadOf('web', [], stranger)));
    assert.deepEqual(bench.running(), before);
    assert.equal(bench.told('shop/api.0@n1'), undefined);
    const reason = 'not changed: there is no user "no-such-user" on this node';
    assert.deepEqual(supervisor.reports(), [{ ...web, reason }]);
    assert.deepEqual(bench.told(id), { ...web, reason });
    assert.deepEqual(supervisor.refused(), []);
    await supervisor.apply(placementOf(workloadOf('web')));
    assert.deepEqual(supervisor.reports(), [web]);
    assert.deepEqual(bench.told(id), web);
  });

  it('takes up what ran of a refused change after the agent was killed, and says again why it is refused', async (t) => {
    const bench = supervisorBench(t);
    const first = bench.open();
    await first.apply(placementOf(workloadOf('web')));
    const web = await bench.ready(first, id);
    const refused = placementOf(
      workloadOf('web', [], { user: 'no-such-user' }),
      workloadOf('api', [], { user: 'no-such-user' }),
    );
    await first.apply(refused);
    const api = first.refused();
    const before = bench.running();
    first.close();
    const second = bench.open();
    await second.apply(refused);
    const reason = 'not changed: there is no user "no-such-user" on this node';
    assert.deepEqual(await bench.ready(second, id), { ...web, reason });
    assert.deepEqual(bench.told(id), { ...web, reason });
    assert.deepEqual(second.refused(), api);
    assert.deepEqual(bench.running(), before);
    // It is looked after like any other.
    const [sidecar = 0] = before.get(`sidecar ${id}`) ?? [];
    process.kill(sidecar, 'SIGKILL');
    await eventually(() => !(bench.running().get(`sidecar ${id}`) ?? [sidecar]).includes(sidecar));
    await bench.ready(second, id);
    await second.apply(placementOf(workloadOf('web')));
    assert.equal((await bench.ready(second, id)).reason, '');
    assert.deepEqual(second.refused(), []);
  });

  it('starts later what could not be started, without another word from the pilot', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    // A file stands where the folder of its logs must be.
    const inTheWay = bench.logFolder(id);
    mkdirSync(dirname(inTheWay), { recursive: true });
    writeFileSync(inTheWay, '');
    await supervisor.apply(placementOf(workloadOf('web')));
    assert.match(bench.told(id)?.reason ?? '', /EEXIST/);
    bench.retryRefused();
    rmSync(inTheWay);
    bench.retryRefused();
    await bench.ready(supervisor, id);
    assert.deepEqual(supervisor.refused(), []);
  });

  it('stops what is placed here no more, found running or not', async (t) => {
    const bench = supervisorBench(t);
    const first = bench.open();
    await first.apply(placementOf(workloadOf('web'), workloadOf('api')));
    await bench.ready(first, id);
    await bench.ready(first, 'shop/api.0@n1');
    await first.apply(placementOf(workloadOf('api')));
    await eventually(() => bench.running().size === 2);
    first.close();
    const second = bench.open();
    await second.apply(placementOf());
    await eventually(() => bench.running().size === 0);
    assert.deepEqual(second.reports(), []);
  });

  it('starts only what changed anew', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(placementOf(workloadOf('web')));
    await bench.ready(supervisor, id);
    const before = bench.running();
    await supervisor.apply(placementOf(workloadOf('web', [], { env: { COLOUR: 'red' } })));
    await eventually(() => {
      const now = bench.running().get(`app ${id}`) ?? [];
      return now.length === 1 && now[0] !== before.get(`app ${id}`)?.[0];
    });
    await bench.ready(supervisor, id);
    assert.deepEqual(bench.running().get(`sidecar ${id}`), before.get(`sidecar ${id}`));
    assert.equal((await environmentOf(portIn(bench.stateDir))).get('COLOUR'), 'red');
  });

  it('reports a crash loop, and a program that is not there, by their reason', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(
      placementOf(workloadOf('web', ['crash']), workloadOf('ghost', [], { command: ['/nowhere/program'] })),
    );
    const reasonOf = (name: string) =>
      supervisor.reports().find(({ workload }) => workload === name)?.reason ?? '';
    await eventually(() => /crashloop: exit code 3/.test(reasonOf('web')));
    await eventually(() => /cannot start "\/nowhere\/program"/.test(reasonOf('ghost')));
  });

  it('stops for good, also where a placement comes meanwhile', async (t) => {
    const bench = supervisorBench(t);
    const supervisor = bench.open();
    await supervisor.apply(placementOf(workloadOf('web')));
    await bench.ready(supervisor, id);
    const stopped = supervisor.stopAll();
    await supervisor.apply(placementOf(workloadOf('web'), workloadOf('late')));
    await within(stopped, 'the stop');
    assert.equal(bench.running().size, 0);
  });

  it('takes other ports where a stranger took one meanwhile', async (t) => {
    const bench = supervisorBench(t);
    const first = bench.open();
    await first.apply(placementOf(workloadOf('web')));
    await bench.ready(first, id);
    await within(first.stopAll(), 'the stop');
    first.close();
    // As after a crash of everything: notes name ports, nothing runs, and one port is somebody else's.
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    defer(t, () => new Promise<void>((resolve) => taken.close(() => resolve())));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const ports = { outbound: port, link: port, 'plain/8080': port, 'app/8080': port };
    writeSaved(
      join(bench.stateDir, 'instances'),
      Buffer.from(JSON.stringify({ [id]: { ports, running: {} } })),
    );
    const second = bench.open();
    await second.apply(placementOf(workloadOf('web')));
    const report = await bench.ready(second, id);
    assert.notEqual(report.linkPort, port);
  });
});
