import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DecodeResult, HpackDecoder } from '../../../../../../sidecar/codec/http2/hpack/decoder.ts';
import type { HeaderEntry } from '../../../../../../sidecar/codec/http2/hpack/header-entry.ts';
import { block, integer } from '../../../../../support/http2-frames.ts';

class Lines {
  lines: string[] = [];
  onEntry(entry: HeaderEntry): void {
    this.lines.push(`${entry.name.text}: ${entry.value}`);
  }
}

function decode(decoder: HpackDecoder, bytes: Buffer): { lines: string[]; result: DecodeResult } {
  const sink = new Lines();
  const result = decoder.decode(bytes, 0, bytes.length, sink);
  return { lines: sink.lines, result };
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** RFC 7541 appendix C: three requests and three responses, plain and with Huffman. */
const examples: {
  name: string;
  tableBytes: number;
  steps: [block: string, lines: string[], size: number][];
}[] = [
  {
    name: 'C.3 requests without huffman',
    tableBytes: 4096,
    steps: [
      [
        '828684410f7777772e6578616d706c652e636f6d',
        [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
        57,
      ],
      [
        '828684be58086e6f2d6361636865',
        [
          ':method: GET',
          ':scheme: http',
          ':path: /',
          ':authority: www.example.com',
          'cache-control: no-cache',
        ],
        110,
      ],
      [
        '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
        [
          ':method: GET',
          ':scheme: https',
          ':path: /index.html',
          ':authority: www.example.com',
          'custom-key: custom-value',
        ],
        164,
      ],
    ],
  },
  {
    name: 'C.4 requests with huffman',
    tableBytes: 4096,
    steps: [
      [
        '828684418cf1e3c2e5f23a6ba0ab90f4ff',
        [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
        57,
      ],
      [
        '828684be5886a8eb10649cbf',
        [
          ':method: GET',
          ':scheme: http',
          ':path: /',
          ':authority: www.example.com',
          'cache-control: no-cache',
        ],
        110,
      ],
      [
        '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
        [
          ':method: GET',
          ':scheme: https',
          ':path: /index.html',
          ':authority: www.example.com',
          'custom-key: custom-value',
        ],
        164,
      ],
    ],
  },
  {
    name: 'C.6 responses with huffman and eviction',
    tableBytes: 256,
    steps: [
      [
        '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
        [
          ':status: 302',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
        222,
      ],
      [
        '4883640effc1c0bf',
        [
          ':status: 307',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
        222,
      ],
      [
        '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
        [
          ':status: 200',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:22 GMT',
          'location: https://www.example.com',
          'content-encoding: gzip',
          'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
        ],
        215,
      ],
    ],
  },
];

describe('HpackDecoder', () => {
  for (const example of examples) {
    it(`reads ${example.name} of RFC 7541`, () => {
      const decoder = new HpackDecoder(example.tableBytes);
      for (const [bytes, lines, size] of example.steps) {
        assert.deepEqual(decode(decoder, hex(bytes)), { lines, result: 'ok' });
        assert.equal(decoder.tableBytes, size);
      }
    });
  }

  for (const [what, bytes] of [
    ['index 0', '80'],
    ['an index past the table', 'be'],
    ['an index far past the table', 'ffff10'],
    ['a literal with a name index past the table', '7f0001 61'],
    ['a table size update after a field', '8220'],
    ['a table size update over our setting', '3fe21f'],
    ['an integer of over five bytes', 'ff808080808001'],
    ['an integer of over 32 bits', 'ffffffffff7f'],
    ['an integer without an end', 'ff80'],
    ['a string longer than the block', '000561'],
    ['a literal without a value', '000161'],
    ['a literal without anything', '40'],
    ['huffman padding of eight bits', '008207ff8107'],
    ['huffman padding of zeros', '00810000'],
    ['end-of-string in a value', '00016184ffffffff'],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decode(new HpackDecoder(4096), hex(bytes)), { faultCode: 9 });
    });
  }

  it('empties the table by a size update to 0 and back', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, hex('400a637573746f6d2d6b65790c637573746f6d2d76616c7565'));
    assert.equal(decoder.tableBytes, 54);
    decode(decoder, hex('203fe11f82'));
    assert.equal(decoder.tableBytes, 0);
    assert.throws(() => decode(decoder, hex('be')), { faultCode: 9 });
  });

  it('takes an entry larger than the table by emptying it', () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, hex('400161 0162'));
    assert.equal(decoder.tableBytes, 34);
    const { lines } = decode(
      decoder,
      Buffer.concat([hex('400163'), integer(60, 127), Buffer.alloc(60, 'x')]),
    );
    assert.deepEqual(lines, [`c: ${'x'.repeat(60)}`]);
    assert.equal(decoder.tableBytes, 0);
  });

  it('takes the name of an entry that its own insertion drives out', () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, hex('400161 0162'));
    assert.deepEqual(decode(decoder, hex('7e0163')).lines, ['a: c']);
    assert.equal(decoder.tableBytes, 34);
    assert.deepEqual(decode(decoder, hex('be')).lines, ['a: c']);
    assert.throws(() => decode(decoder, hex('bf')), { faultCode: 9 });
  });

  it('takes several size updates at once, the last of which counts', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, hex('400161 0162'));
    decode(decoder, hex('3fe11f 3f03 3fe11f be'));
    assert.equal(decoder.tableBytes, 34);
    decode(decoder, hex('3f01 82'));
    assert.equal(decoder.tableBytes, 0);
  });

  it('evicts in order over many insertions', () => {
    const decoder = new HpackDecoder(4096);
    for (let i = 0; i < 1000; i++) {
      const name = `n${String(i).padStart(4, '0')}`;
      decode(decoder, Buffer.concat([hex('4005'), Buffer.from(name), hex('0176')]));
      assert.deepEqual(decode(decoder, hex('be')).lines, [`${name}: v`]);
    }
    // 38 bytes each: 107 entries of them fit, the oldest is the last index.
    assert.equal(decoder.tableBytes, 107 * 38);
    assert.deepEqual(decode(decoder, integer(61 + 107, 127, 0x80)).lines, ['n0893: v']);
    assert.throws(() => decode(decoder, integer(62 + 107, 127, 0x80)), { faultCode: 9 });
  });

  it('counts size and fields of a block before it keeps them', () => {
    const decoder = new HpackDecoder(4096);
    const many = block(Array.from({ length: 101 }, () => ['a', 'b'] as const));
    assert.equal(decode(decoder, many).result, 'too_large');
    assert.equal(decode(decoder, many).lines.length, 100);
    assert.equal(decode(decoder, block([['a', 'b'.repeat(32_768)]])).result, 'too_large');
    assert.equal(decode(decoder, block([['a', 'b'.repeat(32_768 - 33)]])).result, 'ok');
  });

  it('ends the connection where a small block becomes a huge one', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, Buffer.concat([hex('400161'), integer(4000, 127), Buffer.alloc(4000, 'x')]));
    assert.throws(() => decode(decoder, Buffer.alloc(40, 0xbe)), { faultCode: 11 });
  });

  it('keeps the table right beyond a block that is too large', () => {
    const decoder = new HpackDecoder(4096);
    const large = Buffer.concat([
      block([
        ['a', 'b'.repeat(33_000)],
        ['skipped', 'x'],
      ]),
      hex('400163 0164'),
    ]);
    assert.equal(decode(decoder, large).result, 'too_large');
    assert.deepEqual(decode(decoder, hex('be')).lines, ['c: d']);
  });

  it('throws nothing but faults on any bytes', () => {
    let state = 12345;
    for (let run = 0; run < 3000; run++) {
      const bytes = Buffer.alloc(run % 40);
      for (let i = 0; i < bytes.length; i++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        bytes[i] = state >>> 16;
      }
      try {
        decode(new HpackDecoder(4096), bytes);
      } catch (thrown) {
        assert.equal((thrown as Error).name, 'MeshError');
      }
    }
  });
});
