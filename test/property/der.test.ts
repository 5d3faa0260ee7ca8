import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  DerReader,
  encode,
  encodeBits,
  encodeOid,
  encodeUnsigned,
  readBitString,
  readOid,
  readUnsigned,
  readWhole,
  tag,
} from '../../kit/der.ts';
import { MeshError } from '../../kit/errors.ts';
import { readSvid } from '../../mesh/svid.ts';
import { createTestMesh } from '../support/certificates.ts';

/** Runs `read`; whatever it throws must be a MeshError. */
function onlyMeshErrors(read: () => unknown): void {
  try {
    read();
  } catch (thrown) {
    if (!(thrown instanceof MeshError)) throw thrown;
  }
}

/** Reads every value of a tree of constructed values. */
function walk(bytes: Uint8Array, depth = 0): void {
  const reader = new DerReader(bytes);
  while (!reader.isAtEnd) {
    const value = reader.next();
    if ((value.tag & 0x20) !== 0 && depth < 20) walk(value.content, depth + 1);
  }
}

describe('DER', () => {
  it('reads back what it wrote, at any length', () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 });
    fc.assert(
      fc.property(parts, (contents) => {
        const bytes = encode(tag.sequence, ...contents.map((content) => encode(tag.octetString, content)));
        const list = readWhole(bytes, tag.sequence);
        for (const content of contents)
          assert.deepEqual(Buffer.from(list.expect(tag.octetString).content), Buffer.from(content));
        list.end();
      }),
    );
  });

  it('reads back identifiers', () => {
    const arcs = fc.tuple(
      fc.constantFrom('0', '1', '2'),
      fc.nat(39),
      fc.array(fc.nat(2 ** 31 - 1), { maxLength: 8 }),
    );
    fc.assert(
      fc.property(arcs, ([first, second, rest]) => {
        const dotted = [first, second, ...rest].join('.');
        assert.equal(readOid(new DerReader(encodeOid(dotted)).expect(tag.oid).content), dotted);
      }),
    );
  });

  it('reads back numbers and bits', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
        const number = readUnsigned(new DerReader(encodeUnsigned(bytes)).expect(tag.integer).content);
        const hex = (of: Uint8Array) => BigInt(`0x${Buffer.from(of).toString('hex')}`);
        assert.equal(hex(number), hex(bytes));
        const bits = readBitString(new DerReader(encodeBits(bytes)).expect(tag.bitString).content);
        assert.deepEqual([Buffer.from(bits.bytes), bits.unusedBits], [Buffer.from(bytes), 0]);
      }),
    );
  });

  it('answers any bytes with a value or a MeshError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        onlyMeshErrors(() => walk(bytes));
        onlyMeshErrors(() => readSvid(bytes));
        onlyMeshErrors(() => readOid(bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a certificate with broken bytes', () => {
  it('is read or refused by a MeshError', async () => {
    const mesh = await createTestMesh();
    const good = Buffer.from((await mesh.certificate('web')).rawData);
    readSvid(good);
    const change = fc.record({ at: fc.nat(good.length - 1), to: fc.integer({ min: 0, max: 255 }) });
    const changes = fc.array(change, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(changes, fc.nat(good.length), (edits, cut) => {
        const bytes = Buffer.from(good);
        for (const { at, to } of edits) bytes[at] = to;
        onlyMeshErrors(() => readSvid(bytes));
        onlyMeshErrors(() => readSvid(bytes.subarray(0, cut)));
      }),
      { numRuns: 3_000 },
    );
  });
});
