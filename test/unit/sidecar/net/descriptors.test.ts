/** Descriptors shared out between both sides of the proxy. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  DescriptorBudget,
  openFilesLimit,
  reservedDescriptors,
} from '../../../../sidecar/net/descriptors.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

describe('descriptors', () => {
  it('keeps a reserve of the limit, and no more than half of a small one', () => {
    assert.equal(new DescriptorBudget(20_000).total, 20_000 - reservedDescriptors);
    assert.equal(new DescriptorBudget(256).total, 128);
  });

  it('keeps a quarter for either side, whatever the other takes', () => {
    const budget = new DescriptorBudget(256);
    let taken = 0;
    while (budget.takeDownstream()) taken++;
    assert.equal(taken, 96);
    assert.equal(budget.dropped, 1);
    let dialled = 0;
    while (budget.takeUpstream()) dialled++;
    assert.equal(dialled, 32);
    assert.equal(budget.refusedDials, 1);
    assert.equal(budget.mayDial, false);
    budget.giveBackDownstream();
    assert.equal(budget.mayDial, true);
    budget.giveBackUpstream();
    assert.deepEqual([budget.downstream, budget.upstream], [95, 31]);
  });

  it('reads the limit of this process, and of others as the kernel writes it', (t) => {
    assert.ok(openFilesLimit() > 0);
    const file = join(tempFolder(t), 'limits');
    writeFileSync(file, 'Max processes  1 2 processes\nMax open files            256      4096      files\n');
    assert.equal(openFilesLimit(file), 256);
    writeFileSync(file, 'Max open files            unlimited      unlimited      files\n');
    assert.ok(openFilesLimit(file) > 1_000_000_000);
    assert.equal(openFilesLimit(join(file, 'nowhere')), 1024);
  });
});
