/** Memory limits as operators write them, and giving memory back. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  defaultMemoryLimit,
  parseMemorySize,
  releaseMemory,
  requireShares,
  usedMemory,
} from '../../../sidecar/memory.ts';

describe('memory', () => {
  it('reads sizes as Kubernetes writes them', () => {
    assert.equal(parseMemorySize('128Mi'), 128 * 1024 ** 2);
    assert.equal(parseMemorySize('2Gi'), 2 * 1024 ** 3);
    assert.equal(parseMemorySize('100000Ki'), 100_000 * 1024);
    assert.equal(parseMemorySize('100000000'), 100_000_000);
  });

  it('refuses what is no size, or too small to run in, and says what is allowed', () => {
    for (const text of ['', 'much', '-1', '1e9', '128M', '128 Mi', '1.5Gi', '63Mi', '999999999999999Gi']) {
      assert.throws(() => parseMemorySize(text), /no memory limit: say bytes or a number with Ki/, text);
    }
  });

  it('takes 1 GiB or less where nobody says', () => {
    const limit = defaultMemoryLimit();
    assert.ok(limit >= 64 * 1024 ** 2 && limit <= 1024 ** 3);
  });

  it('refuses a limit of which each worker would have too little, and says how much it takes', () => {
    requireShares(4 * 64 * 1024 ** 2, 4);
    assert.throws(() => requireShares(255 * 1024 ** 2, 4), /4 workers need a memory limit of at least 256Mi/);
    assert.throws(() => requireShares(1024 ** 3, 17), /17 workers/);
  });

  it('gives garbage back', () => {
    let garbage: unknown[] | undefined = Array.from({ length: 2_000_000 }, (_, at) => ({ at }));
    const full = usedMemory();
    assert.equal(garbage.length, 2_000_000);
    garbage = undefined;
    releaseMemory();
    assert.ok(usedMemory() < full - 10_000_000, `${full} bytes before, ${usedMemory()} after`);
  });
});
