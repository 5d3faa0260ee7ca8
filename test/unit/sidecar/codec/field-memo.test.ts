import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Field, fieldKind, kindOfName } from '../../../../sidecar/codec/field.ts';
import { FieldMemo } from '../../../../sidecar/codec/field-memo.ts';
import { FieldLines } from '../../../../sidecar/codec/http1/field-lines.ts';
import { externalBytes } from '../../../support/process-memory.ts';

function parse(lines: FieldLines, text: string): Field[] {
  const bytes = Buffer.from(`${text}\r\n`, 'latin1');
  assert.equal(lines.parse(bytes, 0), bytes.length);
  return lines.fields;
}

describe('FieldMemo', () => {
  it('shares a field from the third sighting of its line on, with a slot of its own', () => {
    const lines = new FieldLines(new FieldMemo(7));
    parse(lines, 'A: 1\r\nB: 2\r\n');
    parse(lines, 'A: 1\r\nB: 2\r\n');
    const third = parse(lines, 'A: 1\r\nB: 2\r\n');
    const fourth = parse(lines, 'B: 2\r\nX: 9\r\nA: 1\r\n');
    assert.equal(third[0], fourth[2]);
    assert.equal(third[1], fourth[0]);
    assert.notEqual(third[0]?.slot, third[1]?.slot);
    assert.equal(fourth[1]?.slot, -1);
  });

  it('gives HPACK the field that a line has', () => {
    const memo = new FieldMemo(7);
    const lines = new FieldLines(memo);
    for (let i = 0; i < 3; i++) parse(lines, 'a: 1\r\n');
    assert.equal(memo.intern('a', '1'), parse(lines, 'a: 1\r\n')[0]);
    memo.intern('b', '2');
    assert.equal(memo.intern('b', '2'), memo.intern('b', '2'));
  });

  it('keeps little more than the bytes of what it keeps', () => {
    const memo = new FieldMemo(7);
    const lines = new FieldLines(memo);
    const before = externalBytes();
    for (let i = 0; i < 400; i++) {
      // What else goes on in the process meanwhile: Node cuts buffers below half of its pool from one block.
      for (let n = 0; n < 4; n++) Buffer.allocUnsafe(Buffer.poolSize / 2 - 1);
      for (let sight = 0; sight < 2; sight++) {
        parse(lines, `X-Line-${i}: ${i}\r\n`);
        memo.intern('x-interned', String(i));
      }
    }
    const kept = externalBytes() - before;
    assert.ok(kept < 512 * 1024, `${kept} bytes kept for 800 lines`);
    assert.equal(memo.intern('x-interned', '399'), memo.intern('x-interned', '399'));
  });

  it('does not forget what repeats under a flood of values that do not', () => {
    const lines = new FieldLines(new FieldMemo(7));
    for (let i = 0; i < 3; i++) parse(lines, 'Accept: */*\r\n');
    const [before] = parse(lines, 'Accept: */*\r\n');
    for (let i = 0; i < 20_000; i++) parse(lines, `X-Id: ${i}\r\nAccept: */*\r\n`);
    assert.equal(parse(lines, 'Accept: */*\r\n')[0], before);
  });

  it('never gives one slot to two fields that are both kept', () => {
    const lines = new FieldLines(new FieldMemo(7));
    const bySlot = new Map<number, Field>();
    for (let i = 0; i < 5000; i++) {
      for (let again = 0; again < 3; again++) parse(lines, `X: ${i}\r\n`);
      const [field] = parse(lines, `X: ${i}\r\n`);
      assert.ok(field !== undefined && field.slot >= 0 && field.slot < 1024);
      bySlot.set(field.slot, field);
    }
    for (const [slot, field] of bySlot) assert.equal(field.slot, slot);
  });

  it('keeps no secrets, and nothing that is unique by its nature', () => {
    const lines = new FieldLines(new FieldMemo(7));
    const text = 'Authorization: s\r\nCookie: s\r\nX-Api-Key: s\r\nX-Request-Id: 1\r\nTraceparent: 1\r\n';
    for (let i = 0; i < 5; i++) {
      for (const field of parse(lines, text)) assert.equal(field.slot, -1, field.name);
    }
    assert.equal(new FieldMemo(7).intern('cookie', 's').slot, -1);
  });
});

describe('kindOfName', () => {
  it('knows names that turn into guarded ones where _ is -', () => {
    for (const name of ['content_length', 'transfer_encoding', 'x_forwarded_for', 'heddle_port', 'ho_st']) {
      assert.equal(kindOfName(name), name === 'ho_st' ? fieldKind.other : fieldKind.twin, name);
    }
    assert.equal(kindOfName('user_id'), fieldKind.other);
    assert.equal(kindOfName('heddle-x'), fieldKind.heddle);
    assert.equal(kindOfName('__proto__'), fieldKind.other);
  });
});
