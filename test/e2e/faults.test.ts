/** Errors that nobody caught: a sidecar says what happened, lets requests in flight end, and goes with 1. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { ask, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks();

describe('an uncaught fault', () => {
  for (const kind of ['exception', 'rejection']) {
    it(`(${kind}) is logged with its stack; what is in flight ends, the process ends with 1`, async (t) => {
      const app = await startApp(t);
      const broken = {
        nodeArgs: ['--import', './test/support/programs/faults.mjs'],
        env: { HEDDLE_TEST_FAULT: kind },
      };
      const pair = await startStaticPair(t, {
        ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
        start: { caller: broken },
      });
      const inFlight = ask(pair.outboundPort, { path: '/slow' });
      await eventually(() => app.seen.length === 1);
      pair.caller.signal('SIGUSR2');
      assert.equal((await inFlight).body, 'slow');
      assert.equal((await pair.caller.exited).code, 1);
      const line = pair.caller.stderr.split('\n').find((one) => one.includes('uncaught fault'));
      const { stack } = JSON.parse(line ?? '{}') as { stack?: string };
      assert.match(stack ?? '', new RegExp(`^Error: injected ${kind}\\n\\s+at `));
    });
  }

  it('ends the process within seconds also where a request never ends', async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      start: { caller: { nodeArgs: ['--import', './test/support/programs/faults.mjs'] } },
    });
    const socket = connect({ port: pair.outboundPort, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write('GET /stream HTTP/1.1\r\nhost: shop\r\n\r\n');
    await eventually(() => app.seen.length === 1);
    socket.resume();
    pair.caller.signal('SIGUSR2');
    assert.equal((await pair.caller.exited).code, 1);
    socket.destroy();
  });

  it('opens no debugger, whoever asks for one by signal', async (t) => {
    const app = await startApp(t);
    const workers = { args: ['--workers', '2'] };
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      start: { caller: workers },
    });
    const page = (await ask(pair.callerAdmin, { path: '/clusters' })).body;
    const pids = (JSON.parse(page) as { worker: number }[]).map(({ worker }) => worker);
    for (const pid of [...pids, pair.caller.pid, pair.receiver.pid]) process.kill(pid, 'SIGUSR1');
    assert.equal((await ask(pair.outboundPort)).status, 200);
    for (const side of [pair.caller, pair.receiver]) {
      side.signal('SIGTERM');
      assert.equal((await side.exited).code, 0);
      assert.doesNotMatch(side.stderr, /debugger/i);
    }
  });
});
