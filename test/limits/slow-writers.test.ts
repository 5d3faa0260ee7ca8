/** Memory row M3: clients that drip their heads or bodies are ended by the timers, and cost nobody else a request. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import type { Bootstrap } from '../../mesh/bootstrap.ts';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { settledBytes } from '../support/process-memory.ts';
import { scaled } from '../support/scale.ts';
import { describePair, startStaticSide } from '../support/static-pair.ts';
import { startLoadFor } from '../support/steady-load.ts';

guardLeaks({ settleMs: 30_000 });

const each = scaled(100, 1000);
const dripMs = 100;
const limits = { 'http1.headMs': 1_000, 'http1.bodyMs': 1_000 };
/** What a connection may have cost once it is gone: nothing but what the allocator keeps. */
const maxRestBytes = 16e6;

const slowHead = { begins: 'GET / HTTP/1.1\r\nhost: a\r\n', drips: 'x-a: b\r\n' };
const slowBody = { begins: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n', drips: 'x' };

describe('slow writers', () => {
  it(`${each} slow heads and ${each} slow bodies get 408, while others are served`, async (t) => {
    const app = await startApp(t);
    const served = { port: 80, appPort: app.port, protocol: 'http', mtls: 'permissive' } as const;
    const { mesh, receiver } = await describePair({ ports: [served] });
    const bootstrap: Bootstrap = { ...receiver.bootstrap, limits };
    const sidecar = await startStaticSide(t, mesh, { ...receiver, bootstrap });
    const port = receiver.bootstrap.apps[0]?.plain?.port ?? 0;
    const load = startLoadFor(t, { port, connections: 4, pauseMs: 5 });
    await eventually(() => load.sent > 500, { withinMs: 30_000, what: 'the warm-up' });
    const rest = await settledBytes(sidecar.pid);

    const answers: string[] = [];
    let open = 0;
    const drip = ({ begins, drips }: typeof slowHead) => {
      const socket = connect(port, '127.0.0.1');
      let heard = '';
      open++;
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.toString('latin1');
      });
      socket.write(begins);
      const timer = setInterval(() => socket.write(drips), dripMs);
      socket.on('close', () => {
        clearInterval(timer);
        open--;
        answers.push(heard.slice(0, heard.indexOf('\r\n')));
      });
      defer(t, () => void socket.destroy());
    };
    for (let n = 0; n < each; n++) {
      drip(slowHead);
      drip(slowBody);
    }
    const before = load.sent;
    await eventually(() => open === 0, { withinMs: 60_000, what: 'the end of every slow writer' });
    assert.deepEqual(new Set(answers), new Set(['HTTP/1.1 408 Request Timeout']));
    assert.equal(answers.length, 2 * each);
    assert.ok(load.sent > before, 'the others were served meanwhile');
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
    await eventually(async () => (await settledBytes(sidecar.pid)) - rest < maxRestBytes, {
      withinMs: 60_000,
      what: 'memory given back',
    });
  });
});
