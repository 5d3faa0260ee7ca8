import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { eventually, within } from '../../support/eventually.ts';
import { freePorts } from '../../support/free-port.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { descendantsOf, isAlive } from '../../support/process-table.ts';
import { runProcess, startProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

describe('a process of a test', () => {
  it('is waited for by what it prints and stopped by its id', async (t) => {
    const script = `console.log('ready at ' + 42); setInterval(() => {}, 1000)`;
    const running = await startProcess(t, { args: ['-e', script] });
    const [, number] = await running.printed(/ready at (\d+)/);
    assert.equal(number, '42');
    assert.deepEqual(await running.stop(), { code: null, signal: 'SIGTERM' });
    assert.ok(!isAlive(running.pid));
  });

  it('fails the wait as soon as it ends', async (t) => {
    const running = await startProcess(t, { args: ['-e', `console.error('no disk'); process.exit(3)`] });
    await assert.rejects(running.printed(/ready/), /"code":3.*no disk/s);
  });

  it('is killed where it does not listen', async (t) => {
    const script = `process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`;
    const running = await startProcess(t, { args: ['-e', script], graceMs: 200 });
    await running.printed(/up/);
    assert.deepEqual(await running.stop(), { code: null, signal: 'SIGKILL' });
  });

  it('is found below its parent', async (t) => {
    const running = await startProcess(t, { args: ['-e', `setInterval(() => {}, 1000)`] });
    assert.ok(descendantsOf(process.pid).includes(running.pid));
  });

  it('that cannot be started is an error', async (t) => {
    await assert.rejects(runProcess(t, { command: '/nowhere/at/all', args: [] }), /ENOENT/);
  });
});

describe('the leak guard', () => {
  const leaky = (body: string): string => `
    import { createServer } from 'node:net';
    import { spawn } from 'node:child_process';
    import { it } from 'node:test';
    import { guardLeaks } from '${new URL('../../support/leak-guard.ts', import.meta.url)}';
    import { startProcess, markVariable, mark } from '${new URL('../../support/processes.ts', import.meta.url)}';
    guardLeaks({ settleMs: 200 });
    it('leaks', async (t) => { ${body} });
  `;
  const cases = {
    timer: { body: 'const timer = setTimeout(() => {}, 60_000);', found: /left behind: Timeout/ },
    server: {
      body: 'await new Promise((done) => createServer().listen(0, () => done()));',
      found: /left behind: TCPSERVERWRAP/i,
    },
    process: {
      body: `spawn(process.execPath, ['-e', 'setTimeout(() => {}, 3000)'],
               { detached: true, stdio: 'ignore', env: { ...process.env, [markVariable]: mark } }).unref();`,
      found: /left behind: .*process \d+/,
    },
  };

  for (const [what, { body, found }] of Object.entries(cases)) {
    it(`fails a test that leaves a ${what}`, async (t) => {
      const result = await runProcess(t, {
        args: ['--test-force-exit', '--input-type=module', '-e', leaky(body)],
        env: { NODE_TEST_CONTEXT: undefined },
      });
      assert.notEqual(result.code, 0, result.stdout);
      assert.match(result.stdout, found);
    });
  }

  it('passes a test that closes what it opened', async (t) => {
    const result = await runProcess(t, {
      args: [
        '--input-type=module',
        '-e',
        leaky(`await startProcess(t, { args: ['-e', 'setInterval(() => {}, 9)'] });`),
      ],
      env: { NODE_TEST_CONTEXT: undefined },
    });
    assert.equal(result.code, 0, result.stdout);
  });
});

describe('what tests wait for', () => {
  it('tells the last failure when time is up', async () => {
    const never = () => {
      throw new Error('not there yet');
    };
    await assert.rejects(eventually(never, { withinMs: 30, what: 'the door' }), /the door .*not there yet/);
    await assert.rejects(within(new Promise(() => {}), 'the wait', 10), /the wait took longer/);
  });

  it('gives a folder that goes with its test, after what writes to it', async (t) => {
    let folder = '';
    await t.test('inner', async (inner) => {
      folder = tempFolder(inner);
      const write = `setInterval(() => require('fs').writeFileSync(process.argv[1] + '/' + Math.random(), ''), 1)`;
      const running = await startProcess(inner, { args: ['-e', `${write}; console.log('writes')`, folder] });
      await running.printed(/writes/);
    });
    assert.equal(existsSync(folder), false);
  });

  it('gives ports that differ', async () => {
    assert.equal(new Set(await freePorts(20)).size, 20);
  });
});
