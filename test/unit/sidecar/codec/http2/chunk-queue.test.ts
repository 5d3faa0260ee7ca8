import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ChunkQueue } from '../../../../../sidecar/codec/http2/chunk-queue.ts';

describe('ChunkQueue', () => {
  it('gives back all bytes in order, however they were pushed and taken', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('push' as const), size: fc.integer({ min: 1, max: 20_000 }) }),
      fc.record({ do: fc.constant('copy' as const), size: fc.integer({ min: 1, max: 20_000 }) }),
      fc.record({ do: fc.constant('take' as const), size: fc.integer({ min: 1, max: 20_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new ChunkQueue();
        const taken: Buffer[] = [];
        let pushed = 0;
        for (const { do: what, size } of steps) {
          if (what === 'take') take(queue, size, taken);
          else {
            const chunk = numbered(pushed, size);
            pushed += size;
            if (what === 'push') queue.push(chunk);
            else {
              queue.pushCopy(chunk);
              chunk.fill(0);
            }
          }
        }
        const left = queue.bytes;
        while (queue.first !== undefined) take(queue, queue.first.length, taken);
        assert.equal(queue.bytes, 0);
        const all = Buffer.concat(taken);
        assert.equal(all.length, pushed);
        assert.ok(left <= pushed);
        assert.ok(all.equals(numbered(0, pushed)));
      }),
    );
  });

  it('keeps of chunks that it compacted no more than their bytes, and gives them back in order', () => {
    const queue = new ChunkQueue();
    const all = numbered(0, 40_000);
    for (let n = 0; n < 40; n++) {
      const read = Buffer.alloc(64 * 1024);
      const chunk = read.subarray(100, 1100);
      all.copy(chunk, 0, n * 1000);
      if (n % 3 === 0) queue.pushCopy(chunk);
      else queue.push(chunk);
    }
    queue.consume(queue.first?.length ?? 0);
    queue.compact();
    const taken: Buffer[] = [];
    const kept = new Set<ArrayBufferLike>();
    for (let first = queue.first; first !== undefined; first = queue.first) {
      kept.add(first.buffer);
      take(queue, first.length, taken);
    }
    const keptBytes = [...kept].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(Buffer.concat(taken).equals(all.subarray(1000)));
    assert.ok(keptBytes < 40_000 + 14 * 4096, `${keptBytes} bytes`);
  });

  it('keeps of copied chunks little more than their bytes', () => {
    const queue = new ChunkQueue();
    for (let n = 0; n < 1_000; n++) queue.pushCopy(Buffer.alloc(64 * 1024).subarray(0, 50));
    const kept = new Set<ArrayBufferLike>();
    let chunks = 0;
    for (let first = queue.first; first !== undefined; first = queue.first) {
      kept.add(first.buffer);
      chunks++;
      queue.consume(first.length);
    }
    const keptBytes = [...kept].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(keptBytes <= 50_000 + 8192, `${keptBytes} bytes`);
    assert.ok(chunks <= 10, `${chunks} chunks`);
  });
});

/** Bytes that tell where in the stream they stand. */
function numbered(from: number, size: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, at) => (from + at) % 251));
}

function take(queue: ChunkQueue, most: number, taken: Buffer[]): void {
  const { first } = queue;
  if (first === undefined) return;
  const count = Math.min(most, first.length);
  taken.push(first.subarray(0, count));
  queue.consume(count);
}
