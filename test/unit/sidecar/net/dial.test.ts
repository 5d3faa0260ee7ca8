import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { systemClock } from '../../../../kit/clock.ts';
import { MeshError } from '../../../../kit/errors.ts';
import { connectSocket, dial } from '../../../../sidecar/net/dial.ts';
import { listen } from '../../../../sidecar/net/listener.ts';
import { defer } from '../../../support/cleanup.ts';
import { RecordingHandler, testServices } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { freePort } from '../../../support/free-port.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

const options = { clock: systemClock, timeoutMs: 5000 };

describe('dial', () => {
  it('connects, and keeps what came before a handler was there', async (t) => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, (socket: Socket) => socket.end('hello'));
    defer(t, () => listener.close());
    const conn = await dial({ address: '127.0.0.1', port: listener.port }, testServices(), options);
    defer(t, () => conn.destroy());
    await new Promise((resolve) => setImmediate(resolve));
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    await eventually(() => handler.ended);
    assert.equal(handler.text, 'hello');
    assert.equal(conn.peer.port, listener.port);
  });

  it('says that nobody listens, which may always be tried elsewhere', async () => {
    const target = { address: '127.0.0.1', port: await freePort() };
    await assert.rejects(dial(target, testServices(), options), (error) => {
      assert.ok(error instanceof MeshError);
      assert.equal(error.code, 'connect_refused');
      assert.equal(error.retry, 'always');
      return true;
    });
  });

  it('takes no names', async () => {
    await assert.rejects(connectSocket({ address: 'localhost', port: 1 }, options), /not a literal address/);
  });

  it('gives up by its own clock, and when told to', async () => {
    const clock = new FakeClock();
    const slow = connectSocket({ address: '127.0.0.1', port: await freePort() }, { clock, timeoutMs: 250 });
    clock.advance(250);
    await assert.rejects(slow, { code: 'connect_timeout' });
    const abort = new AbortController();
    const aborted = connectSocket(
      { address: '127.0.0.1', port: await freePort() },
      { ...options, signal: abort.signal },
    );
    abort.abort(new Error('no longer wanted'));
    await assert.rejects(aborted, /no longer wanted/);
  });
});
