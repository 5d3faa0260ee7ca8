import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Flushable } from '../../../../sidecar/net/conn.ts';
import { createFlusher } from '../../../../sidecar/net/flush.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function flushable(flush: () => void): Flushable {
  return { flushScheduled: false, flush };
}

describe('createFlusher', () => {
  it('flushes what was scheduled twice once', async () => {
    const flusher = createFlusher();
    let flushes = 0;
    const one = flushable(() => flushes++);
    flusher.schedule(one);
    flusher.schedule(one);
    assert.equal(flushes, 0);
    await turn();
    assert.equal(flushes, 1);
    flusher.schedule(one);
    await turn();
    assert.equal(flushes, 2);
  });

  it('flushes in the same turn what a flush schedules', async () => {
    const flusher = createFlusher();
    const order: string[] = [];
    const conn = flushable(() => order.push('conn'));
    const link = flushable(() => {
      order.push('link');
      flusher.schedule(conn);
    });
    flusher.schedule(conn);
    flusher.schedule(link);
    await turn();
    assert.deepEqual(order, ['conn', 'link', 'conn']);
  });
});
