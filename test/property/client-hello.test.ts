/** Whatever comes is a hello, a wait or a MeshError, the same in every split. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MeshError } from '../../kit/errors.ts';
import { ClientHelloReader } from '../../sidecar/net/client-hello.ts';
import { helloMessage, inRecords, serverNames } from '../support/client-hello.ts';

const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const extension = fc.tuple(fc.integer({ min: 1, max: 0xffff }), bytes(40));
const shape = fc.record({
  sessionId: bytes(32),
  suites: fc.integer({ min: 1, max: 20 }).map((count) => Buffer.alloc(2 * count, 1)),
  others: fc.uniqueArray(extension, { selector: ([type]) => type, maxLength: 6 }),
  name: fc.option(name, { nil: undefined }),
  recordBytes: fc.integer({ min: 16, max: 700 }),
});
const hello = shape.map(({ sessionId, suites, others, name: serverName, recordBytes }) => {
  const extensions = serverName === undefined ? others : [...others, serverNames(serverName)];
  return { serverName, wire: inRecords(helloMessage({ sessionId, suites, extensions }), recordBytes) };
});
const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** The outcome as text: the name, a wait, or the error. */
function outcome(wire: Buffer, at: readonly number[]): string {
  const reader = new ClientHelloReader();
  const borders = [...new Set(at.map((cut) => cut % (wire.length + 1)))].sort((a, b) => a - b);
  try {
    let from = 0;
    for (const to of [...borders, wire.length]) {
      const read = reader.push(wire.subarray(from, to));
      if (read !== undefined) return `name ${read.serverName}`;
      from = to;
    }
    return 'more';
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError, String(thrown));
    return thrown.message;
  }
}

describe('reading a ClientHello', () => {
  it('finds the name that was written, in any split', () => {
    fc.assert(
      fc.property(hello, cuts, ({ serverName, wire }, at) => {
        assert.equal(outcome(wire, at), `name ${serverName}`);
      }),
      { numRuns: 500 },
    );
  });

  it('ends as one value or one MeshError for hellos that were tampered with, in any split', () => {
    const change = fc.tuple(
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom('set', 'drop', 'add'),
    );
    fc.assert(
      fc.property(hello, fc.array(change, { maxLength: 6 }), cuts, ({ wire }, changes, at) => {
        let mutated = wire;
        for (const [where, value, how] of changes) {
          const index = where % (mutated.length + 1);
          const rest = mutated.subarray(how === 'add' ? index : index + 1);
          const inserted = how === 'drop' ? Buffer.alloc(0) : Buffer.from([value]);
          mutated = Buffer.concat([mutated.subarray(0, index), inserted, rest]);
        }
        const whole = outcome(mutated, []);
        const split = outcome(mutated, at);
        // What follows a whole hello in another chunk belongs to whoever gets the connection.
        if (whole !== 'malformed ClientHello: bytes after the ClientHello') assert.equal(split, whole);
      }),
      { numRuns: 2000 },
    );
  });

  it('survives bytes of any kind', () => {
    fc.assert(
      fc.property(bytes(300), cuts, (wire, at) => {
        assert.equal(outcome(wire, at), outcome(wire, []));
      }),
      { numRuns: 1000 },
    );
  });
});
