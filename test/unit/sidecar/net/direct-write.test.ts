import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { connectionLimits } from '../../../../sidecar/net/connection-limits.ts';
import { writeDirectly } from '../../../../sidecar/net/direct-write.ts';
import { codeOf } from '../../../../sidecar/net/node-errors.ts';
import { defer } from '../../../support/cleanup.ts';
import { connPair, RecordingHandler, socketPair } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

/** Larger than what the kernel keeps of a connection on loopback. */
const waitingBytes = 16 * 2 ** 20;

describe('a write past the stream', () => {
  it('leaves at once where the kernel takes it, text, bytes and several of them alike', async (t) => {
    const { socket, client } = await socketPair(t);
    const writer = new Writer();
    assert.equal(writeDirectly(socket, 'caf\xe9 ', writer), 'left');
    assert.equal(writeDirectly(socket, Buffer.from('bytes'), writer), 'left');
    assert.equal(writeDirectly(socket, [Buffer.from(' in'), Buffer.from(' pieces')], writer), 'left');
    socket.end();
    assert.equal(await textOf(client), 'caf\xe9 bytes in pieces');
    assert.deepEqual(writer.told, []);
  });

  it('tells when what had to wait has left, before what is written later', async (t) => {
    const { socket, client } = await socketPair(t);
    const writer = new Writer();
    const text = 'x'.repeat(waitingBytes);
    assert.equal(writeDirectly(socket, text, writer), 'waits');
    assert.deepEqual(writer.told, []);
    socket.end(' last');
    assert.ok((await textOf(client)) === `${text} last`);
    assert.deepEqual(writer.told, [undefined]);
  });

  it('tells why what waits will never leave', async (t) => {
    const { socket, client } = await socketPair(t);
    const writer = new Writer();
    assert.equal(writeDirectly(socket, Buffer.alloc(waitingBytes), writer), 'waits');
    client.resetAndDestroy();
    await eventually(() => writer.told.length === 1);
    // Cancelled where a read met the reset first.
    assert.match(String(codeOf(writer.told[0])), /^E(PIPE|CONNRESET|CANCELED)$/);
  });

  it('is refused where the socket has ended, for its stream to tell', async (t) => {
    const { socket } = await socketPair(t);
    socket.destroy();
    assert.equal(writeDirectly(socket, 'x', new Writer()), 'refused');
  });
});

describe('a connection whose text has to wait', () => {
  it('says that it is full and when there is room, and sends all in order', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    const written = await fillWithText(conn);
    assert.equal(handler.writable, 0);
    conn.writeText('last');
    const read = textOf(client);
    await eventually(() => handler.writable === 1 && conn.unsentBytes === 0);
    conn.finish();
    assert.ok((await read) === `${written}last`);
  });

  it('is not given up after the close while its peer goes on reading', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    const written = await fillWithText(conn);
    conn.close();
    assert.ok(conn.unsentBytes > 0);
    // Longer than a connection without unsent bytes lingers.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(handler.closed, 0);
    const read = textOf(client);
    assert.ok((await read) === written);
    client.end();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error, undefined);
  });

  it('ends with a reset where it is given up after our end, so that it is not taken for whole', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    await fillWithText(conn);
    conn.finish();
    assert.ok(conn.unsentBytes > 0);
    conn.reset();
    assert.equal(await endOf(client), 'ECONNRESET');
    await eventually(() => handler.closed === 1);
  });

  it('ends with a reset where its peer has ended, and does not read after our close', async (t) => {
    const stuckMs = connectionLimits.lingerStuckMs;
    connectionLimits.lingerStuckMs = 300;
    defer(t, () => {
      connectionLimits.lingerStuckMs = stuckMs;
    });
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    await fillWithText(conn);
    client.end();
    await eventually(() => handler.ended);
    conn.close();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error?.code, 'connection_closed');
    assert.equal(await endOf(client), 'ECONNRESET');
  });

  it('reports a reset once', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    await fillWithText(conn);
    client.resetAndDestroy();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error?.code, 'connection_reset');
  });

  it('may be destroyed', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    await fillWithText(conn);
    conn.destroy();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error, undefined);
  });
});

class Writer {
  readonly told: (Error | undefined)[] = [];
  written(error: Error | undefined): void {
    this.told.push(error);
  }
}

/** Text until the connection is full, a new letter each turn; resolves to all of it. */
async function fillWithText(conn: Awaited<ReturnType<typeof connPair>>['conn']): Promise<string> {
  let all = '';
  for (let turn = 0; !conn.isFull; turn++) {
    const text = String.fromCharCode(97 + (turn % 26)).repeat(150_000);
    conn.writeText(text);
    all += text;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return all;
}

async function textOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  await once(socket, 'end');
  return Buffer.concat(chunks).toString('latin1');
}

/** How the other end sees it: `end`, or the code of the error. */
function endOf(client: Socket): Promise<string> {
  return new Promise((resolve) => {
    client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    client.on('end', () => resolve('end'));
    client.resume();
  });
}
