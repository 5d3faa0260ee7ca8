import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { trendPerMinute } from '../../support/trend.ts';

describe('trend', () => {
  it('is the growth per minute, whatever the noise and a few odd looks', () => {
    const looks = Array.from({ length: 60 }, (_, minutes) => ({
      minutes,
      value: 500 + 3 * minutes + ((minutes * 7) % 20) - 10 + (minutes === 30 ? 10_000 : 0),
    }));
    const trend = trendPerMinute(looks);
    assert.ok(trend > 2.8 && trend < 3.2, String(trend));
  });

  it('is none where a figure only swings', () => {
    const looks = [8, 2, 8, 2, 8].map((value, minutes) => ({ minutes, value }));
    assert.equal(trendPerMinute(looks), 0);
  });

  it('takes two looks', () => {
    assert.equal(
      trendPerMinute([
        { minutes: 1, value: 5 },
        { minutes: 3, value: 9 },
      ]),
      2,
    );
    assert.throws(() => trendPerMinute([{ minutes: 1, value: 5 }]), /two looks/);
  });
});
