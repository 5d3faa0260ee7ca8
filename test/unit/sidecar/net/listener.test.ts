import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { inheritedDescriptors, openListeningSocket } from '../../../../sidecar/net/listen-fd.ts';
import { listen, listenLocal } from '../../../../sidecar/net/listener.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

async function sayTo(port: number, host: string): Promise<string> {
  const client = connect(port, host).setEncoding('latin1');
  try {
    const [text] = await once(client, 'data');
    return text;
  } finally {
    client.destroy();
  }
}

const greet = (text: string) => (socket: Socket) => void socket.end(text);

describe('listen', () => {
  it('serves localhost by both families under one port', async (t) => {
    const listeners = await listenLocal({ port: 0 }, greet('hello'));
    for (const listener of listeners) {
      defer(t, () => listener.close());
      assert.equal(await sayTo(listener.port, listener.host), 'hello');
    }
    assert.equal(new Set(listeners.map((listener) => listener.port)).size, 1);
    assert.equal(listeners[0]?.host, '127.0.0.1');
  });

  it('says which port is taken and what to do, also to a second listener of the same user', async (t) => {
    const first = await listen({ host: '127.0.0.1', port: 0 }, greet('first'));
    defer(t, () => first.close());
    await assert.rejects(listen({ host: '127.0.0.1', port: first.port }, greet('second')), (error) => {
      assert.ok(error instanceof MeshError);
      assert.match(
        error.message,
        new RegExp(`cannot listen on 127\\.0\\.0\\.1:${first.port} \\(EADDRINUSE\\): `),
      );
      return true;
    });
  });

  it('says so when the machine lacks the address', async () => {
    await assert.rejects(listen({ host: '192.0.2.1', port: 0 }, greet('')), /EADDRNOTAVAIL.*does not have/);
  });

  it('drops and counts connections beyond its limit', async (t) => {
    const sockets: Socket[] = [];
    const listener = await listen({ host: '127.0.0.1', port: 0, maxConnections: 1 }, (socket) => {
      sockets.push(socket);
    });
    const clients = [connect(listener.port, '127.0.0.1'), connect(listener.port, '127.0.0.1')];
    defer(t, () => {
      listener.close();
      for (const socket of [...sockets, ...clients]) socket.destroy();
    });
    await eventually(() => listener.dropped === 1 && sockets.length === 1);
  });

  it('accepts no more once closed while accepted connections stay', async (t) => {
    const accepted: Socket[] = [];
    const listener = await listen({ host: '127.0.0.1', port: 0 }, (socket) => accepted.push(socket));
    const client = connect(listener.port, '127.0.0.1');
    defer(t, () => void client.destroy());
    await eventually(() => accepted.length === 1);
    listener.close();
    listener.close();
    await assert.rejects(sayTo(listener.port, '127.0.0.1'), /ECONNREFUSED/);
    accepted[0]?.end('still here');
    const [text] = await once(client, 'data');
    assert.equal(String(text), 'still here');
  });
});

describe('inherited listening sockets', () => {
  it('are served by a child after the parent stopped, with no connection refused between', async (t) => {
    const parent = await listen({ host: '127.0.0.1', port: 0 }, greet('parent'));
    assert.ok(parent.fd !== undefined, 'the descriptor is known on this platform');
    const child = spawn(
      process.execPath,
      [
        '-e',
        `require('node:net').createServer((s) => s.end('child')).listen({ fd: 3 }, () => console.log('ready'))`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit', parent.fd] },
    );
    defer(t, async () => {
      child.kill();
      await once(child, 'close');
    });
    await once(child.stdout ?? child, 'data');
    parent.close();
    assert.equal(await sayTo(parent.port, '127.0.0.1'), 'child');
  });

  it('come by number from LISTEN_FDS, unless they are for another process', () => {
    const env = { LISTEN_FDS: '2', LISTEN_PID: '7', LISTEN_FDNAMES: 'outbound:admin' };
    assert.deepEqual(inheritedDescriptors(env, 7), [
      { fd: 3, name: 'outbound' },
      { fd: 4, name: 'admin' },
    ]);
    assert.deepEqual(inheritedDescriptors(env, 8), []);
    assert.deepEqual(inheritedDescriptors({}, 8), []);
    assert.deepEqual(inheritedDescriptors({ LISTEN_FDS: '-1' }, 8), []);
    assert.equal(inheritedDescriptors({ LISTEN_FDS: '1' }, 8).length, 1);
  });

  it('throw like listen does', () => {
    assert.throws(() => openListeningSocket({ host: '192.0.2.1', port: 0 }, 1), { code: 'EADDRNOTAVAIL' });
    assert.throws(() => openListeningSocket({ host: '2001:db8::192.0.2.1', port: 0 }, 1), {
      code: 'EADDRNOTAVAIL',
    });
  });
});
