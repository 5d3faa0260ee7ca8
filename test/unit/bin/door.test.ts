/** The executable's door: what it answers by itself, and whose compile cache it uses. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { guardLeaks } from '../../support/leak-guard.ts';
import { runProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const name = `heddle-compile-cache-${process.getuid?.() ?? 0}`;

async function heddle(t: TestContext, temporary: string, ...args: string[]): Promise<string> {
  const env = { TMPDIR: temporary, NODE_COMPILE_CACHE: undefined };
  const result = await runProcess(t, { args: ['bin/heddle.mjs', ...args], env });
  assert.equal(result.code, 0, result.stderr);
  return result.stdout;
}

describe('bin/heddle.mjs', () => {
  it('tells its version with nothing else loaded', async (t) => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    const temporary = tempFolder(t);
    for (const flag of ['--version', '-V']) assert.equal(await heddle(t, temporary, flag), `${version}\n`);
    assert.deepEqual(readdirSync(temporary), []);
  });

  it('says on an older Node what it needs', async (t) => {
    const older = 'Object.defineProperty(process,"versions",{value:{node:"20.19.0"}})';
    const args = ['--import', `data:text/javascript,${older}`, 'bin/heddle.mjs', 'pilot', 'status'];
    const { code, stdout, stderr } = await runProcess(t, { args });
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^heddle: this is Node 20\.19\.0, and heddle needs Node 26 or later: .*\n$/);
  });

  it('keeps its compile cache in a folder of its user alone', async (t) => {
    const temporary = tempFolder(t);
    await heddle(t, temporary, '--help');
    assert.equal(statSync(join(temporary, name)).mode & 0o777, 0o700);
    assert.notDeepEqual(readdirSync(join(temporary, name)), []);
  });

  it('uses no cache that others may write to, or that lies elsewhere', async (t) => {
    const open = tempFolder(t);
    mkdirSync(join(open, name));
    chmodSync(join(open, name), 0o777);
    await heddle(t, open, '--help');
    assert.deepEqual(readdirSync(join(open, name)), []);

    const [linked, elsewhere] = [tempFolder(t), tempFolder(t)];
    symlinkSync(elsewhere, join(linked, name));
    await heddle(t, linked, '--help');
    assert.deepEqual(readdirSync(elsewhere), []);
  });
});
