import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DerReader,
  encode,
  readBitString,
  readBoolean,
  readOid,
  readTime,
  readUnsigned,
  readWhole,
  tag,
} from '../../../kit/der.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const time = (kind: number, text: string) => new DerReader(encode(kind, Buffer.from(text))).next();

describe('DerReader', () => {
  const refused: readonly [what: string, hex: string][] = [
    ['an indefinite length', '3080020101'],
    ['a length padded to two bytes', '04810161'],
    ['a length padded with zero', '0482000161'],
    ['a length beyond the input', '040261'],
    ['a length of five bytes', '04850000000161'],
    ['a tag of two bytes', '1f8101'],
    ['no length', '04'],
    ['nothing', ''],
  ];
  for (const [what, hex] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => new DerReader(bytes(hex)).next(), { code: 'malformed_message' });
    });
  }

  it('refuses bytes after the end, and another tag than expected', () => {
    assert.throws(() => readWhole(bytes('300000'), tag.sequence), /bytes after its end/);
    assert.throws(() => readWhole(bytes('3100'), tag.sequence), /has tag 0x31 where 0x30 belongs/);
  });
});

describe('values', () => {
  it('refuses numbers that are negative or padded', () => {
    for (const hex of ['', '80', 'ff01', '0001'])
      assert.throws(() => readUnsigned(bytes(hex)), { code: 'malformed_message' });
    assert.deepEqual(readUnsigned(bytes('00ff')), bytes('ff'));
    assert.deepEqual(readUnsigned(bytes('00')), bytes('00'));
  });

  it('refuses booleans other than 00 and ff', () => {
    assert.throws(() => readBoolean(bytes('01')));
    assert.deepEqual([readBoolean(bytes('00')), readBoolean(bytes('ff'))], [false, true]);
  });

  it('refuses stray bits', () => {
    assert.throws(() => readBitString(bytes('0701')));
    assert.throws(() => readBitString(bytes('08')));
    assert.deepEqual(readBitString(bytes('0780')).bytes, bytes('80'));
  });

  it('refuses padded and unfinished identifiers', () => {
    for (const hex of ['', '2a8001', '2a81', '2affffffffffffff7f'])
      assert.throws(() => readOid(bytes(hex)), { code: 'malformed_message' });
    assert.equal(readOid(bytes('2a864886f70d')), '1.2.840.113549');
    assert.equal(readOid(bytes('883703')), '2.999.3');
  });

  it('reads both kinds of time and refuses times that do not exist', () => {
    assert.equal(readTime(time(tag.utcTime, '491231235959Z')), Date.UTC(2049, 11, 31, 23, 59, 59));
    assert.equal(readTime(time(tag.utcTime, '500101000000Z')), Date.UTC(1950, 0, 1));
    assert.equal(readTime(time(tag.generalizedTime, '20500101000000Z')), Date.UTC(2050, 0, 1));
    for (const text of ['260231000000Z', '2602280000Z', '260228000000+0100', '261301000000Z'])
      assert.throws(() => readTime(time(tag.utcTime, text)), { code: 'malformed_message' });
    assert.throws(() => readTime(time(tag.utf8String, '260228000000Z')));
  });
});
