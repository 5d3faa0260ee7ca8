import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { ConnHandler } from '../../../../sidecar/net/conn.ts';
import { readsBeforeShared } from '../../../../sidecar/net/read-buffer.ts';
import { connPair } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

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

/** From here on the connection reads into the shared buffer; returns how many bytes came. */
async function showSmallReads(client: Socket, keeper: Keeper): Promise<number> {
  const before = keeper.bytes;
  for (let n = 1; n <= readsBeforeShared + 1; n++) {
    client.write('small');
    await eventually(() => keeper.bytes === before + 5 * n);
  }
  const sent = keeper.bytes - before;
  keeper.chunks.length = 0;
  return sent;
}

describe('readIntoShared', () => {
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
});
