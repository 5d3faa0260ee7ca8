import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Http2Stream } from '../../../../../sidecar/codec/http2/stream.ts';
import { StreamTable } from '../../../../../sidecar/codec/http2/stream-table.ts';

/** The table looks at nothing but the id. */
function streamOf(id: number): Http2Stream {
  return { id } as Http2Stream;
}

describe('stream table', () => {
  it('holds what a Map holds, whatever opens and ends in which order', () => {
    // Mostly ends of young streams, so that old ones stay while the ring comes round.
    const steps = fc.array(fc.oneof(fc.constant(-1), fc.nat(5), fc.nat(400)), { maxLength: 1_500 });
    fc.assert(
      fc.property(steps, (ends) => {
        const table = new StreamTable();
        const model = new Map<number, Http2Stream>();
        let next = 1;
        for (const end of ends) {
          if (end === -1) {
            const stream = streamOf(next);
            table.add(stream);
            model.set(next, stream);
            next += 2;
          } else {
            const id = next - 2 - 2 * end;
            assert.equal(table.delete(id), model.delete(id));
          }
          assert.equal(table.size, model.size);
        }
        for (let id = 1; id < next + 4; id += 2) assert.equal(table.get(id), model.get(id));
        const byId = (a: Http2Stream, b: Http2Stream) => a.id - b.id;
        assert.deepEqual(table.values().sort(byId), [...model.values()]);
      }),
    );
  });

  it('keeps a stream that outlives many rounds of ids', () => {
    const table = new StreamTable();
    const old = streamOf(1);
    table.add(old);
    for (let id = 3; id < 10_000; id += 2) {
      table.add(streamOf(id));
      assert.equal(table.get(1), old);
      assert.equal(table.delete(id), true);
      assert.equal(table.has(id), false);
    }
    assert.equal(table.size, 1);
    assert.deepEqual(table.values(), [old]);
    table.clear();
    assert.equal(table.get(1), undefined);
    assert.equal(table.size, 0);
  });
});
