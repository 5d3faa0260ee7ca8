import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import type { ConnHandler } from '../../../../sidecar/net/conn.ts';
import { maxOwners, readsBeforeTaken } from '../../../../sidecar/net/read-buffer.ts';
import { SocketConn } from '../../../../sidecar/net/socket-conn.ts';
import { type ConnPair, connPair, testServices } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { externalBytes } from '../../../support/process-memory.ts';
import { tlsPair } from '../../../support/tls-pair.ts';

guardLeaks();

/** Keeps every chunk as it came, and looks at it only at the end. */
class Keeper implements ConnHandler {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  ended = false;
  onChunk: () => void = () => {};

  onData(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    this.onChunk();
  }
  onEnd(): void {
    this.ended = true;
  }
  onWritable(): void {}
  onClosed(): void {}
}

/** Bytes of which no two parts are alike. */
function noise(size: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(size / 32) }, (_, n) =>
    createHash('sha256').update(String(n)).digest(),
  );
  return Buffer.concat(blocks).subarray(0, size);
}

/** From here on the connection's reads are taken; returns how many bytes came. */
async function showSmallReads(client: Duplex, keeper: Keeper): Promise<number> {
  const before = keeper.bytes;
  for (let n = 1; n <= readsBeforeTaken + 1; n++) {
    client.write('small');
    await eventually(() => keeper.bytes === before + 5 * n);
  }
  const sent = keeper.bytes - before;
  keeper.chunks.length = 0;
  return sent;
}

async function assertLargeBetweenSmall(conn: SocketConn, client: Duplex): Promise<void> {
  const keeper = new Keeper();
  conn.setHandler(keeper);
  const all = noise(3_000_000);
  const first = await showSmallReads(client, keeper);
  client.write(all.subarray(0, 2_000_000));
  await eventually(() => keeper.bytes === first + 2_000_000);
  client.write(all.subarray(2_000_000, 2_000_100));
  await eventually(() => keeper.bytes === first + 2_000_100);
  client.end(all.subarray(2_000_100));
  await eventually(() => keeper.ended);
  assert.deepEqual(Buffer.concat(keeper.chunks), all);
}

describe('takeReads', () => {
  it('gives small reads that stay as they were when others follow', async (t) => {
    const { conn, client } = await connPair(t);
    const keeper = new Keeper();
    conn.setHandler(keeper);
    const all = noise(6000);
    for (let at = 0; at < all.length; at += 300) {
      client.write(all.subarray(at, at + 300));
      await eventually(() => keeper.bytes >= at + 300);
    }
    assert.ok(keeper.chunks.length > 1);
    assert.deepEqual(Buffer.concat(keeper.chunks), all);
  });

  it('gives large bodies whole, also after small ones and before them', async (t) => {
    const { conn, client } = await connPair(t);
    await assertLargeBetweenSmall(conn, client);
  });

  it('gives a large body over TLS whole, between small reads', async (t) => {
    const { socket, peer } = await tlsPair(t);
    await assertLargeBetweenSmall(new SocketConn(socket, testServices(), { origin: 'upstream' }), peer);
  });

  it('keeps what comes in a pause, and its order and end', async (t) => {
    const { conn, client } = await connPair(t);
    const keeper = new Keeper();
    conn.setHandler(keeper);
    const all = noise(2_000_000);
    await showSmallReads(client, keeper);
    let pauses = 0;
    keeper.onChunk = () => {
      pauses++;
      conn.pause();
      setTimeout(() => conn.resume(), pauses < 5 ? 5 : 0);
    };
    client.end(all);
    await eventually(() => keeper.ended);
    assert.ok(pauses > 5);
    assert.deepEqual(Buffer.concat(keeper.chunks), all);
  });

  it('reads no more than a stream holds while it is paused', async (t) => {
    const { conn, client } = await connPair(t);
    const keeper = new Keeper();
    conn.setHandler(keeper);
    const first = await showSmallReads(client, keeper);
    conn.pause();
    client.write(Buffer.alloc(32 * 1024 * 1024));
    await eventually(() => client.writableLength > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(client.writableLength > 16 * 1024 * 1024, `${client.writableLength} bytes wait at the sender`);
    assert.equal(keeper.bytes, first);
    conn.resume();
    await eventually(() => keeper.bytes === 32 * 1024 * 1024 + first);
  });

  it('keeps few buffers for connections that have read large pieces and are idle, and none for closed ones', async (t) => {
    const count = maxOwners + 100;
    const pieceBytes = 256 * 1024;
    const pairs = await Promise.all(Array.from({ length: count }, () => connPair(t)));
    const before = externalBytes();
    const readLarge = async ({ conn, client }: ConnPair) => {
      const keeper = new Keeper();
      keeper.onChunk = () => keeper.chunks.splice(0);
      conn.setHandler(keeper);
      const sent = (await showSmallReads(client, keeper)) + pieceBytes;
      client.write(Buffer.alloc(pieceBytes));
      await eventually(() => keeper.bytes === sent);
    };
    await Promise.all(pairs.map(readLarge));
    // Each has one of 64 KiB; without a bound all would.
    const kept = externalBytes() - before;
    assert.ok(kept <= (maxOwners + 32) * 64 * 1024, `${kept} bytes kept by ${count} idle connections`);
    for (const { conn } of pairs) conn.destroy();
    await eventually(() => externalBytes() - before <= 32 * 64 * 1024);
    // Their places are free: another may have one again, and gets all it was sent.
    const { conn, client } = await connPair(t);
    const keeper = new Keeper();
    conn.setHandler(keeper);
    await showSmallReads(client, keeper);
    const all = noise(1_000_000);
    client.end(all);
    await eventually(() => keeper.ended);
    assert.deepEqual(Buffer.concat(keeper.chunks), all);
  });
});
