import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Field } from '../../../../sidecar/codec/field.ts';
import { DateStamp, viaFor } from '../../../../sidecar/proxy/stamp.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

describe('what a hop adds of its own', () => {
  it('is the date of this second, where a response has none', () => {
    const clock = new FakeClock(Date.UTC(1994, 10, 6, 8, 49, 37, 900));
    const dates = new DateStamp(clock);
    const fields = [new Field('x', 'y')];
    dates.addTo(fields);
    assert.equal(fields[1]?.line, 'date: Sun, 06 Nov 1994 08:49:37 GMT\r\n');
    assert.equal(dates.field, fields[1]);
    clock.advance(100);
    assert.equal(dates.field.value, 'Sun, 06 Nov 1994 08:49:38 GMT');
  });

  it("is no second date beside the upstream's", () => {
    const fields = [new Field('date', 'Sun, 06 Nov 1994 08:49:37 GMT')];
    new DateStamp(new FakeClock()).addTo(fields);
    assert.equal(fields.length, 1);
  });

  it('is a Via with the version in which the message came', () => {
    assert.equal(viaFor('http1').line, 'via: 1.1 heddle\r\n');
    assert.equal(viaFor('http2').line, 'via: 2 heddle\r\n');
  });
});
