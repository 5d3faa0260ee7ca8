import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines } from '../../../../sidecar/proxy/deadlines.ts';

const owner = { onTimer: (): void => {} };

describe('deadlines of a request', () => {
  it('name the bound that is passed, the request as a whole before the attempt', () => {
    const deadlines = new Deadlines(owner);
    deadlines.requestMs = 200;
    deadlines.attemptMs = 100;
    assert.equal(deadlines.passed(99, 0), undefined);
    assert.equal(deadlines.passed(100, 0)?.code, 'request_timeout');
    assert.equal(deadlines.passed(200, 0)?.code, 'deadline_exceeded');
  });

  it('bound the time without a byte, which any byte starts anew', () => {
    const deadlines = new Deadlines(owner);
    deadlines.boundIdle(0, 50);
    assert.equal(deadlines.passed(50, 1), undefined);
    assert.equal(deadlines.passed(99, 1), undefined);
    assert.equal(deadlines.passed(100, 1)?.code, 'idle_timeout');
  });

  it('leave a stream without bounds alone, however much it moves', () => {
    const deadlines = new Deadlines(owner);
    deadlines.boundIdle(0, 0);
    assert.equal(deadlines.passed(1e9, 0), undefined);
    assert.equal(deadlines.passed(2e9, 1), undefined);
  });
});
