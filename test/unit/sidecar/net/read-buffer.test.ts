import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { ConnHandler } from '../../../../sidecar/net/conn.ts';
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
    client.write(all.subarray(0, 10));
    await eventually(() => keeper.bytes === 10);
    client.write(all.subarray(10, 2_000_000));
    await eventually(() => keeper.bytes === 2_000_000);
    client.write(all.subarray(2_000_000, 2_000_100));
    await eventually(() => keeper.bytes === 2_000_100);
    client.end(all.subarray(2_000_100));
    await eventually(() => keeper.ended);
    assert.deepEqual(Buffer.concat(keeper.chunks), all);
  });

  it('keeps what comes in a pause, and its order and end', async (t) => {
    const { conn, client } = await connPair(t);
    const keeper = new Keeper();
    conn.setHandler(keeper);
    const all = noise(2_000_000);
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
    client.write('first');
    await eventually(() => keeper.bytes === 5);
    conn.pause();
    client.write(Buffer.alloc(32 * 1024 * 1024));
    await eventually(() => client.writableLength > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(client.writableLength > 16 * 1024 * 1024, `${client.writableLength} bytes wait at the sender`);
    assert.equal(keeper.bytes, 5);
    conn.resume();
    await eventually(() => keeper.bytes === 32 * 1024 * 1024 + 5);
  });
});
