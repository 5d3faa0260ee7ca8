import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { keepProcess } from '../../../../examples/shop/launcher/kept-process.ts';
import { portNear } from '../../../../examples/shop/launcher/ports.ts';
import { sweep } from '../../../../examples/shop/launcher/sweep.ts';
import { visitsLine } from '../../../../examples/shop/launcher/view.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { freePort } from '../../../support/free-port.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { isAlive } from '../../../support/process-table.ts';
import { startProcess } from '../../../support/processes.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

guardLeaks();

describe("the launcher's ports", () => {
  it('are the wanted ones where those are free, else others', async (t) => {
    const wanted = await freePort();
    assert.equal(await portNear(wanted), wanted);
    const other = createServer().listen(wanted, '127.0.0.1');
    await once(other, 'listening');
    defer(t, () => void other.close());
    assert.notEqual(await portNear(wanted), wanted);
  });
});

describe('a kept process', () => {
  const keep = (t: TestContext, script: string, onRestart: (pid: number) => void = () => {}) => {
    const logFile = join(tempFolder(t), 'log');
    const command = [process.execPath, '-e', script];
    const kept = keepProcess({ name: 'it', command, env: process.env, logFile, onRestart });
    defer(t, () => kept.stop());
    return { kept, logFile };
  };
  const ready = `console.log(JSON.stringify({ ready: true, port: 7 })); setInterval(() => {}, 1000);`;

  it('is ready by its line and started again when it is killed', async (t) => {
    const restarts: number[] = [];
    const { kept } = keep(t, ready, (pid) => restarts.push(pid));
    assert.equal((await kept.ready())['port'], 7);
    const first = kept.pid;
    process.kill(first, 'SIGKILL');
    await eventually(() => kept.pid !== 0 && kept.pid !== first && isAlive(kept.pid));
    assert.deepEqual(restarts, [kept.pid]);
  });

  it('that never gets ready says where its log is', async (t) => {
    const { kept, logFile } = keep(t, `console.error('no disk'); process.exit(3)`);
    await assert.rejects(kept.ready(), /it ended \(exit 3\); its log: /);
    assert.match(readFileSync(logFile, 'utf8'), /no disk/);
  });

  it('stays down once it is stopped', async (t) => {
    const { kept } = keep(t, ready);
    await kept.ready();
    const { pid } = kept;
    await kept.stop();
    assert.equal(isAlive(pid), false);
    assert.equal(kept.pid, 0);
  });
});

describe('the sweep', () => {
  it('ends what carries the folder, stubborn ones too, and nobody else', async (t) => {
    const [ours, theirs] = [tempFolder(t), tempFolder(t)];
    writeFileSync(join(ours, 'mark'), '');
    const start = (folder: string) =>
      startProcess(t, {
        args: ['-e', `process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`],
        env: { HEDDLE_STATE_DIR: join(folder, 'host-1') },
        graceMs: 100,
      });
    const [left, other] = [await start(ours), await start(theirs)];
    await left.printed(/up/);
    await other.printed(/up/);
    await sweep(ours);
    await left.exited;
    assert.equal(isAlive(other.pid), true);
  });
});

describe('the line about visits', () => {
  it('tells the shares since the line before, and failures', () => {
    const before = { requests: 10, failures: 0, pricedBy: { v1: 9, v2: 1 } };
    const now = { requests: 20, failures: 0, pricedBy: { v1: 12, v2: 8 } };
    assert.equal(visitsLine(now, before), '20 visits, none failed; offers priced by v1 30 %, v2 70 %');
    assert.match(visitsLine({ ...now, failures: 2, lastFailure: '503' }, before), /2 FAILED \(last: 503\)/);
  });
});
