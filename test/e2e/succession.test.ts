/** Sidecar processes replaced one after another under load, on inherited listening sockets. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { isAlive } from '../support/process-table.ts';
import { startStaticPair } from '../support/static-pair.ts';
import { startLoad } from '../support/steady-load.ts';

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
});

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has ended already.
  }
}
