import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  huffmanDecode,
  huffmanEncode,
  huffmanLength,
} from '../../../../../../sidecar/codec/http2/hpack/huffman.ts';

function encode(text: string): Buffer {
  const bytes = Buffer.alloc(huffmanLength(text));
  assert.equal(huffmanEncode(text, bytes, 0), bytes.length);
  return bytes;
}

describe('huffman', () => {
  it('writes the examples of RFC 7541 appendix C', () => {
    assert.equal(encode('www.example.com').toString('hex'), 'f1e3c2e5f23a6ba0ab90f4ff');
    assert.equal(encode('no-cache').toString('hex'), 'a8eb10649cbf');
    assert.equal(encode('custom-value').toString('hex'), '25a849e95bb8e8b4bf');
    assert.equal(
      encode('Mon, 21 Oct 2013 20:13:21 GMT').toString('hex'),
      'd07abe941054d444a8200595040b8166e082a62d1bff',
    );
  });

  it('reads every text it writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (raw) => {
        const text = Buffer.from(raw).toString('latin1');
        const bytes = encode(text);
        assert.equal(huffmanDecode(bytes, 0, bytes.length), text);
      }),
      { numRuns: 500 },
    );
  });

  it('reads a text that does not begin at 0', () => {
    const bytes = Buffer.concat([Buffer.from([1, 2, 3]), encode('a\u00ffb!'), Buffer.from([9])]);
    assert.equal(huffmanDecode(bytes, 3, bytes.length - 1), 'a\u00ffb!');
  });

  for (const [what, hex] of [
    ['padding of eight ones', '07ff'],
    ['padding of a whole byte of ones', 'ff'],
    ['padding of zeros', '00'],
    ['end-of-string', 'ffffffff'],
    ['end-of-string after a letter', '1fffffffff'],
    ['a long code cut off', 'ffff'],
  ] as const) {
    it(`refuses ${what}`, () => {
      const bytes = Buffer.from(hex, 'hex');
      assert.throws(() => huffmanDecode(bytes, 0, bytes.length), { faultCode: 9 });
    });
  }
});
