/** Sidecar processes replaced one after another under load, on inherited listening sockets. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { formatStaticConfig, parseStaticConfig } from '../../proto/static-config.ts';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask, listenForTest, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { isAlive } from '../support/process-table.ts';
import { service, startStaticPair } from '../support/static-pair.ts';
import { startLoad, startLoadFor } from '../support/steady-load.ts';

guardLeaks();

const replacements = Number(process.env['HEDDLE_REPLACEMENTS'] ?? 6);

/** Who serves on the admin port now. */
const pidOf = (metricsPage: string): number => Number(/^heddle_process_pid (\d+)$/m.exec(metricsPage)?.[1]);

describe('succession', () => {
  it('loses no request while both sidecars are replaced again and again', async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort: app.port, protocol: 'http' }] });
    const load = startLoad({ port: pair.outboundPort });
    defer(t, async () => {
      await load.stop();
    });
    const sides = [
      { admin: pair.callerAdmin, pid: pair.caller.pid },
      { admin: pair.receiverAdmin, pid: pair.receiver.pid },
    ];
    // Successors are no children of the test; whoever serves in the end is ended here.
    defer(t, async () => {
      for (const { pid } of sides) endProcess(pid);
      await eventually(() => sides.every(({ pid }) => !isAlive(pid)));
    });
    for (let round = 0; round < replacements; round++) {
      const side = sides[round % 2] as (typeof sides)[0];
      const before = side.pid;
      const sentBefore = load.sent;
      process.kill(before, 'SIGHUP');
      await eventually(async () => {
        const pid = pidOf((await ask(side.admin, { path: '/metrics' })).body);
        if (pid === before || Number.isNaN(pid)) return false;
        side.pid = pid;
        return true;
      });
      await eventually(() => !isAlive(before), { what: `the end of ${before}`, withinMs: 40_000 });
      await eventually(() => load.sent > sentBefore + 50);
    }
    const { sent, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(sent > replacements * 50);
  });

  it('goes on serving when the successor does not come up', async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort: app.port, protocol: 'http' }] });
    writeFileSync(pair.callerFile, 'no configuration');
    pair.caller.signal('SIGHUP');
    await pair.caller.printed(/successor did not come up/);
    assert.equal((await ask(pair.outboundPort)).status, 200);
  });

  it('loses nothing to a successor that fails with some of its doors open', async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, { ports: [{ port: 80, appPort: app.port, protocol: 'http' }] });
    const stranger = await listenForTest(t, createServer());
    const config = parseStaticConfig(readFileSync(pair.callerFile, 'utf8'));
    const { bootstrap } = config;
    const localPorts = [...bootstrap.localPorts, { service, port: 90, localPort: stranger }];
    writeFileSync(
      pair.callerFile,
      formatStaticConfig({ ...config, bootstrap: { ...bootstrap, localPorts } }),
    );
    const load = startLoadFor(t, { port: pair.outboundPort });
    await eventually(() => load.sent > 50);
    for (let times = 0; times < 2; times++) {
      pair.caller.signal('SIGHUP');
      const failure = new RegExp(`(?:successor did not come up[^]*){${times + 1}}`);
      await pair.caller.printed(failure, 60_000);
    }
    const from = load.sent;
    await eventually(() => load.sent > from + 50);
    assert.deepEqual((await load.stop()).failures, []);
    assert.match(pair.caller.stderr, /EADDRINUSE/);
  });
});

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has ended already.
  }
}
