/** HPACK: what our encoder writes, every decoder reads, over many blocks that share their state. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../sidecar/codec/http2/hpack/encoder.ts';
import type { HeaderEntry } from '../../sidecar/codec/http2/hpack/header-entry.ts';
import { OutBuffer } from '../../sidecar/codec/http2/out-buffer.ts';
import { encodeAll, step } from '../support/hpack-steps.ts';

class Lines {
  lines: string[] = [];
  onEntry(entry: HeaderEntry): void {
    this.lines.push(`${entry.name.text}: ${entry.value}`);
  }
}

describe('HPACK', () => {
  for (const compact of [true, false]) {
    it(`reads what it writes, ${compact ? 'compact' : 'quick'}`, () => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
          const decoder = new HpackDecoder(4096);
          for (const { block, lines } of encodeAll(steps, compact)) {
            const sink = new Lines();
            decoder.decode(block, 0, block.length, sink);
            if (sink.lines.length === lines.length) assert.deepEqual(sink.lines, lines);
            // Beyond the limit of a block's size the rest is counted, not kept.
            else assert.deepEqual(sink.lines, lines.slice(0, sink.lines.length));
          }
        }),
        { numRuns: 200 },
      );
    });
  }

  it("keeps the mesh's own fields apart, which to HTTP/1.1 are no lines", () => {
    const encoder = new HpackEncoder({ maxTableBytes: 4096, compact: false });
    const decoder = new HpackDecoder(4096);
    const out = new OutBuffer(1024);
    for (const value of ['204', '204', '204', '200', '200', '204']) {
      const sink = new Lines();
      encoder.field(out, new Field('heddle-status', value));
      const block = out.take() as Buffer;
      decoder.decode(block, 0, block.length, sink);
      assert.deepEqual(sink.lines, [`heddle-status: ${value}`]);
    }
  });

  it('writes a repeated list in few bytes', () => {
    const memo = new FieldMemo(3);
    const encoder = new HpackEncoder({ maxTableBytes: 4096, compact: false });
    const out = new OutBuffer(1024);
    const pairs = [
      ['user-agent', 'curl/8.0'],
      ['accept', '*/*'],
      ['x-team', 'shop'],
      ['content-type', 'application/json'],
    ] as const;
    let size = 0;
    for (let i = 0; i < 5; i++) {
      encoder.begin(out);
      encoder.method(out, 'GET');
      encoder.scheme(out, 'http');
      encoder.authority(out, 'orders.shop');
      encoder.path(out, '/orders/list');
      for (const [name, text] of pairs) encoder.field(out, memo.intern(name, text));
      size = (out.take() as Buffer).length;
    }
    assert.equal(size, 8);
  });

  it('never indexes what proves who the caller is, nor what it was told not to', () => {
    const encoder = new HpackEncoder({ maxTableBytes: 4096, compact: true });
    const out = new OutBuffer(1024);
    for (const name of ['authorization', 'proxy-authorization', 'set-cookie', 'cookie', 'x-api-key']) {
      for (let i = 0; i < 3; i++) {
        encoder.field(out, new Field(name, 'secret'));
        const [first] = out.take() as Buffer;
        assert.equal((first as number) & 0xf0, 0x10, name);
      }
    }
    const decoder = new HpackDecoder(4096);
    let told: Field | undefined;
    const sink = {
      onEntry(entry: HeaderEntry): void {
        told = entry.field;
      },
    };
    const literal = Buffer.from('1003782d610162', 'hex');
    decoder.decode(literal, 0, literal.length, sink);
    for (let i = 0; i < 3; i++) {
      encoder.field(out, told as unknown as Field);
      assert.deepEqual(out.take(), literal);
    }
    assert.equal(encoder.tableBytes, 0);
  });
});
