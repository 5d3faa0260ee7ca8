/** Our HPACK encoder read by Python's hpack. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodeAll, step } from '../support/hpack-steps.ts';

describe('HPACK', () => {
  it("is read by python's hpack", () => {
    const steps = fc.sample(step, { numRuns: 300, seed: 42 }).map((each) => ({ ...each, tableBytes: null }));
    const blocks = encodeAll(steps, true);
    const script = `
import json, sys
from hpack import Decoder
d = Decoder(max_header_list_size=1 << 20)
for line in sys.stdin:
    print(json.dumps([n.decode('latin1') + ': ' + v.decode('latin1') for n, v in d.decode(bytes.fromhex(line.strip()), raw=True)]))
`;
    const input = blocks.map(({ block }) => block.toString('hex')).join('\n');
    const output = execFileSync('/usr/bin/python3', ['-c', script], {
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    const read = output
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as string[]);
    assert.deepEqual(
      read,
      blocks.map(({ lines }) => lines),
    );
  });
});
