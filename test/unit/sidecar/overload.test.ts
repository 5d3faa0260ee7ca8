/** The levels of memory pressure, their hysteresis, and what each one does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Overload, overloadLevels, sampleMs } from '../../../sidecar/overload.ts';
import { noPressure } from '../../../sidecar/proxy/pressure.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { recordingLog } from '../../support/recording-log.ts';

function setUp() {
  const clock = new FakeClock();
  const log = recordingLog();
  const pressure = noPressure();
  const calls: string[] = [];
  let usedBytes = 0;
  const overload = new Overload({
    limitBytes: 1000,
    clock,
    log,
    pressure,
    usedBytes: () => usedBytes,
    shrink: () => calls.push('shrink'),
    collect: () => calls.push('collect'),
  });
  overload.start();
  const use = (bytes: number) => {
    usedBytes = bytes;
    clock.advance(sampleMs);
    return overload.level;
  };
  return { clock, log, pressure, calls, overload, use };
}

describe('overload', () => {
  it('rises at 80, 90 and 95 % of the limit, at once', () => {
    const { use, pressure } = setUp();
    assert.equal(use(799), 'normal');
    assert.equal(use(800), 'closing');
    assert.deepEqual([pressure.closesConnections, pressure.sheds], [true, false]);
    assert.equal(use(900), 'shrinking');
    assert.equal(pressure.sheds, false);
    assert.equal(use(950), 'shedding');
    assert.equal(pressure.sheds, true);
    const other = setUp();
    assert.equal(other.use(2000), 'shedding');
    assert.deepEqual(other.overload.entered, { normal: 0, closing: 1, shrinking: 1, shedding: 1 });
  });

  it('falls 5 % below where it rose, one level at a time', () => {
    const { use, pressure } = setUp();
    use(960);
    assert.equal(use(901), 'shedding');
    assert.equal(use(100), 'shrinking');
    assert.deepEqual([pressure.closesConnections, pressure.sheds], [true, false]);
    assert.equal(use(100), 'closing');
    assert.equal(use(751), 'closing');
    assert.equal(use(749), 'normal');
    assert.equal(pressure.closesConnections, false);
  });

  it('gives back idle things once a second and collects once in ten seconds, from the second level on', () => {
    const { use, calls, clock } = setUp();
    use(850);
    assert.deepEqual(calls, []);
    use(900);
    assert.deepEqual(calls, ['shrink', 'collect']);
    clock.advance(9_999);
    assert.equal(calls.filter((call) => call === 'shrink').length, 10);
    assert.equal(calls.filter((call) => call === 'collect').length, 1);
    clock.advance(sampleMs);
    assert.equal(calls.filter((call) => call === 'collect').length, 2);
  });

  it('says every change in the log, and nothing while nothing changes', () => {
    const { use, log, clock, overload } = setUp();
    use(960);
    clock.advance(10 * sampleMs);
    assert.deepEqual(
      log.lines.map(({ fields }) => fields['level']),
      ['shedding'],
    );
    overload.stop();
    use(0);
    assert.equal(log.lines.length, 1);
    assert.equal(overload.rank, overloadLevels.indexOf('shedding'));
  });
});
