import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { lockStateDir } from '../../../../node-agent/disk/lock.ts';
import { eventually } from '../../../support/eventually.ts';
import { startProcess } from '../../../support/processes.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

const lockModule = join(import.meta.dirname, '../../../../node-agent/disk/lock.ts');
const holder = (folder: string) =>
  `import(${JSON.stringify(lockModule)}).then(({ lockStateDir }) => {
     lockStateDir(${JSON.stringify(folder)});
     process.stdout.write('locked');
     setInterval(() => {}, 1000);
   });`;

describe('state folder lock', () => {
  it('lets one process in, names it to others, and is free once that one was killed', async (t) => {
    const folder = tempFolder(t);
    const first = await startProcess(t, { args: ['-e', holder(folder)] });
    await first.printed(/locked/);
    assert.throws(() => lockStateDir(folder), new RegExp(`another agent \\(process ${first.pid}\\)`));
    first.signal('SIGKILL');
    await first.exited;
    const lock = await eventually(() => lockStateDir(folder));
    lock.release();
    lockStateDir(folder).release();
  });

  it('says so where the folder cannot be used', (t) => {
    const folder = tempFolder(t);
    assert.throws(() => lockStateDir(join(folder, 'missing')), /cannot be locked/);
    writeFileSync(join(folder, 'agent.lock'), 'not a database, and long enough to be looked at'.repeat(50));
    assert.throws(() => lockStateDir(folder), /cannot be locked/);
  });
});
