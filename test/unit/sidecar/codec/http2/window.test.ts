/** Stream windows and the budget that they grow within. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChunkQueue } from '../../../../../sidecar/codec/http2/chunk-queue.ts';
import { limits } from '../../../../../sidecar/codec/http2/limits.ts';
import { ReceiveWindow, WindowBudget } from '../../../../../sidecar/codec/http2/window.ts';
import { releaseMemory } from '../../../../../sidecar/memory.ts';

const frameBytes = 16_384;
const wholeBytes = 16 * 1024 * 1024;

/** A window whose reader kept up for a while. */
function grownWindow() {
  const budget = new WindowBudget(wholeBytes);
  const window = new ReceiveWindow(budget, limits.streamWindow, limits.linkStreamWindowMax);
  let credit = limits.streamWindow;
  for (let n = 0; n < 200; n++) {
    assert.ok(window.receive(frameBytes));
    credit += window.grant(0) - frameBytes;
  }
  return { budget, window, credit };
}

describe('ReceiveWindow', () => {
  it('keeps its growth while the peer may still use it, though the reader has stopped', () => {
    const { budget, window, credit } = grownWindow();
    assert.ok(credit > 1_000_000);
    window.shrink(0);
    assert.equal(wholeBytes - budget.leftBytes, credit - limits.streamWindow);
  });

  it('keeps it for what is held, also after the peer has ended, until that is read', () => {
    const { budget, window } = grownWindow();
    window.shrink(0);
    let held = 0;
    for (; held < 40 * frameBytes; held += frameBytes) window.receive(frameBytes);
    window.end(held);
    assert.equal(wholeBytes - budget.leftBytes, held - limits.streamWindow);
    window.settle(held / 2);
    assert.equal(wholeBytes - budget.leftBytes, held / 2 - limits.streamWindow);
    window.settle(0);
    assert.equal(budget.leftBytes, wholeBytes);
  });

  it('grows again once a reader that had stopped keeps up', () => {
    const { budget, window } = grownWindow();
    window.shrink(0);
    let granted = 0;
    while (granted === 0) {
      window.receive(frameBytes);
      granted = window.grant(0);
    }
    assert.ok(granted > limits.streamWindow);
    assert.ok(budget.leftBytes >= wholeBytes - limits.streamWindow);
  });

  it('leaves something of the budget for others, however fast one reader is', () => {
    const budget = new WindowBudget(wholeBytes);
    assert.equal(budget.take(wholeBytes * limits.windowGrowthShare + 1), false);
    assert.equal(budget.take(wholeBytes * limits.windowGrowthShare), true);
    assert.equal(budget.take(wholeBytes * limits.windowGrowthShare), false);
  });
});

describe('ChunkQueue', () => {
  it('gives chunks back in order, though it never runs empty', () => {
    const queue = new ChunkQueue();
    for (let n = 0; n < 10; n++) queue.push(Buffer.from([n]));
    for (let n = 0; n < 1000; n++) {
      assert.equal(queue.first?.[0], n % 256);
      queue.consume(1);
      queue.push(Buffer.from([(n + 10) % 256]));
    }
    assert.equal(queue.bytes, 10);
  });

  it('lets go of what was taken from it', async () => {
    const queue = new ChunkQueue();
    const refs: WeakRef<ArrayBufferLike>[] = [];
    for (let n = 0; n < 100; n++) {
      const chunk = Buffer.alloc(100_000);
      refs.push(new WeakRef(chunk.buffer));
      queue.push(chunk);
    }
    for (let n = 0; n < 90; n++) queue.consume(100_000);
    // A weak reference holds until the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    releaseMemory();
    assert.equal(refs.filter((ref) => ref.deref() !== undefined).length, 10);
    assert.equal(queue.bytes, 1_000_000);
  });
});
