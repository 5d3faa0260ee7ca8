import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { releaseMemory } from '../../../../sidecar/memory.ts';
import {
  connectionLimits,
  crowdedConns,
  crowdedMarkBytes,
} from '../../../../sidecar/net/connection-limits.ts';
import { peerOf } from '../../../../sidecar/net/socket-conn.ts';
import { connPair, RecordingHandler, testServices } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

describe('SocketConn', () => {
  it('sends the pieces of a turn in their order, text, small and large bytes alike', async (t) => {
    const { conn, client } = await connPair(t);
    conn.setHandler(new RecordingHandler());
    const got: Buffer[] = [];
    client.on('data', (chunk: Buffer) => got.push(chunk));
    const large = Buffer.alloc(40_000, 0xe9);
    conn.writeText('one ');
    conn.write(Buffer.from('two '));
    conn.write(large);
    conn.writeText('\xff three ');
    conn.write(Buffer.from('four'));
    const expected = `one two ${large.toString('latin1')}\xff three four`;
    await eventually(() => Buffer.concat(got).length === expected.length);
    assert.equal(Buffer.concat(got).toString('latin1'), expected);
    assert.equal(conn.bytesOut, expected.length);
    conn.write(Buffer.alloc(3000, 1));
    conn.writeText('!');
    await eventually(() => Buffer.concat(got).length === expected.length + 3001);
  });

  it('sends a large piece before the turn ends, behind the text that came before it', async (t) => {
    const { conn, client } = await connPair(t);
    conn.setHandler(new RecordingHandler());
    const got: Buffer[] = [];
    client.on('data', (chunk: Buffer) => got.push(chunk));
    const large = Buffer.alloc(64 * 1024, 0xe9);
    conn.writeText('head ');
    conn.write(large);
    assert.equal(conn.unsentBytes, 0);
    conn.writeText(' tail');
    assert.equal(conn.unsentBytes, 5);
    const expected = `head ${large.toString('latin1')} tail`;
    await eventually(() => Buffer.concat(got).length === expected.length);
    assert.equal(Buffer.concat(got).toString('latin1'), expected);
  });

  it('keeps sending after the peer ended, and reading after it finished itself', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.end('bye');
    await eventually(() => handler.ended);
    assert.equal(handler.text, 'bye');
    conn.writeText('still here');
    client.setEncoding('latin1');
    const [text] = await once(client, 'data');
    assert.equal(text, 'still here');
    assert.equal(handler.closed, 0);
    conn.finish();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error, undefined);
  });

  it('says that it is full and when there is room again', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    const chunk = Buffer.alloc(64 * 1024);
    await eventually(() => {
      if (!conn.isFull) conn.write(chunk);
      return conn.isFull && conn.unsentBytes >= connectionLimits.highMarkBytes;
    });
    assert.equal(handler.writable, 0);
    client.resume();
    await eventually(() => handler.writable === 1 && !conn.isFull);
  });

  it('keeps of what has to wait no more than its bytes where many others are full', async (t) => {
    const { conn, client } = await connPair(t, { ...testServices(), full: { count: crowdedConns } });
    conn.setHandler(new RecordingHandler());
    client.pause();
    const kept: WeakRef<ArrayBufferLike>[] = [];
    const writePart = () => {
      const whole = Buffer.alloc(256 * 1024);
      kept.push(new WeakRef(whole.buffer));
      conn.write(whole.subarray(0, 20_000));
    };
    await eventually(
      () => {
        if (!conn.isFull) writePart();
        return conn.isFull;
      },
      { everyMs: 1 },
    );
    await new Promise((resolve) => setImmediate(resolve));
    releaseMemory();
    assert.ok(kept.length > 3);
    assert.equal(kept.filter((ref) => ref.deref() !== undefined).length, 0);
  });

  it('is full earlier where many others are, and counts among them until there is room or it is gone', async (t) => {
    const full = { count: crowdedConns };
    const { conn, client } = await connPair(t, { ...testServices(), full });
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    const chunk = Buffer.alloc(crowdedMarkBytes / 2);
    const fill = () =>
      eventually(
        () => {
          if (!conn.isFull) conn.write(chunk);
          return conn.isFull && full.count === crowdedConns + 1;
        },
        { everyMs: 1 },
      );
    await fill();
    assert.ok(conn.unsentBytes < connectionLimits.highMarkBytes, `${conn.unsentBytes} bytes`);
    client.resume();
    await eventually(() => handler.writable === 1 && full.count === crowdedConns);
    client.pause();
    await fill();
    conn.destroy();
    await eventually(() => handler.closed === 1);
    assert.equal(full.count, crowdedConns);
  });

  it('gives up a connection whose writer ignores that it is full', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.pause();
    await eventually(() => {
      for (let i = 0; i < 16; i++) conn.write(Buffer.alloc(connectionLimits.maxUnsentBytes / 8));
      return handler.closed === 1;
    });
    assert.equal(handler.error?.code, 'limit_exceeded');
  });

  it('closes so that the last words can be read although unread bytes are left', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    handler.onData = () => {
      conn.writeText('refused');
      conn.close();
    };
    conn.setHandler(handler);
    let got = '';
    let failure: unknown;
    client.setEncoding('latin1').on('data', (text: string) => {
      got += text;
    });
    client.on('error', (error) => {
      failure = error;
    });
    client.write('first');
    await eventually(() => got === 'refused');
    client.write('x'.repeat(30_000));
    client.end();
    await eventually(() => handler.closed === 1);
    assert.equal(failure, undefined);
    assert.equal(handler.error, undefined);
  });

  it('ends a peer that goes on sending after the close', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    conn.close();
    await eventually(() => {
      if (client.writable) client.write(Buffer.alloc(16 * 1024));
      return handler.closed === 1;
    });
  });

  it('does not reset a peer that sends much more before it reads our last words', async (t) => {
    const { lingerMs, lingerBytes } = connectionLimits;
    connectionLimits.lingerMs = 60_000;
    t.after(() => {
      connectionLimits.lingerMs = lingerMs;
    });
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    handler.onData = () => {
      conn.writeText('refused');
      conn.close();
    };
    conn.setHandler(handler);
    const ends: unknown[] = [];
    client.on('error', (error) => ends.push(error));
    client.on('end', () => ends.push('FIN'));
    for (let sent = 0; sent < 100; sent++) client.write(Buffer.alloc(64 * 1024));
    await eventually(() => conn.bytesIn > lingerBytes);
    let got = '';
    client.setEncoding('latin1').on('data', (text: string) => {
      got += text;
    });
    await eventually(() => ends.length > 0);
    assert.deepEqual([got, ends, handler.closed], ['refused', ['FIN'], 0]);
  });

  it('ends a silent peer some time after the close', async (t) => {
    const { conn } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    conn.close();
    await eventually(() => handler.closed === 1);
  });

  it('reports a reset once, as one after which an idempotent request may go again', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    client.resetAndDestroy();
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error?.code, 'connection_reset');
    assert.equal(handler.error?.origin, 'downstream');
    assert.equal(handler.error?.retry, 'if_idempotent');
  });

  it('tells a handler that comes late that the connection is gone', async (t) => {
    const { conn, client } = await connPair(t);
    client.resetAndDestroy();
    await eventually(() => {
      conn.writeText('x');
      return conn.unsentBytes === 0;
    });
    const handler = new RecordingHandler();
    conn.setHandler(handler);
    await eventually(() => handler.closed === 1);
  });

  it('ends only the connection whose handler throws', async (t) => {
    const { conn, client } = await connPair(t);
    const handler = new RecordingHandler();
    handler.onData = () => {
      throw new Error('bug');
    };
    conn.setHandler(handler);
    client.write('x');
    await eventually(() => handler.closed === 1);
    assert.equal(handler.error?.code, 'internal');
  });

  it('names the peer by a bare address', async (t) => {
    const { conn, client } = await connPair(t);
    assert.equal(conn.peer.address, '127.0.0.1');
    assert.equal(conn.peer.port, client.localPort);
    const mapped = { remoteAddress: '::ffff:10.1.2.3', remotePort: 5 };
    assert.equal(peerOf(mapped as Parameters<typeof peerOf>[0]).address, '10.1.2.3');
  });
});
