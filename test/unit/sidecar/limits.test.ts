import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type LimitName, limitProblem, limitRanges } from '../../../mesh/limits.ts';
import { limitNow, setLimits } from '../../../sidecar/limits.ts';

const names = Object.keys(limitRanges) as LimitName[];

describe('limits that can be set', () => {
  it('are all kept somewhere, with defaults within their ranges', () => {
    for (const name of names) assert.equal(limitProblem(name, limitNow(name)), undefined, name);
  });

  it('are what was set, one by one', (t) => {
    const defaults = Object.fromEntries(names.map((name) => [name, limitNow(name)]));
    t.after(() => setLimits(defaults));
    for (const name of names) {
      const [least] = limitRanges[name];
      setLimits({ [name]: least });
      assert.equal(limitNow(name), least);
      const others = names.filter((other) => other !== name);
      assert.deepEqual(
        others.map(limitNow),
        others.map((other) => defaults[other]),
      );
      setLimits({ [name]: defaults[name] });
    }
  });

  it('are refused with their range, or with what may have been meant', () => {
    assert.equal(limitProblem('http2.plainStream', 1), "no such limit, did you mean 'http2.plainStreams'?");
    assert.equal(limitProblem('constructor', 1), 'no such limit');
    for (const value of [0, 1.5, 70_000, Number.NaN])
      assert.equal(
        limitProblem('http2.plainStreams', value),
        `expected a whole number from 1 to 65536, got ${value}`,
      );
  });
});
