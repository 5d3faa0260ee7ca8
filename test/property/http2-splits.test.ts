/** However the bytes of an HTTP/2 connection are cut, the same requests come out, and nothing but answers goes back. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  block,
  continuation,
  data,
  headers,
  ping,
  rst,
  settings,
  windowUpdate,
} from '../support/http2-frames.ts';
import { playClient } from '../support/http2-peer.ts';

const post = block([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
  ['x-a', 'b'],
]);

const frames = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('request' as const), split: fc.boolean() }),
    fc.record({
      kind: fc.constant('data' as const),
      bytes: fc.nat({ max: 3000 }),
      padded: fc.boolean(),
      end: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('reset' as const) }),
    fc.record({ kind: fc.constant('ping' as const) }),
    fc.record({ kind: fc.constant('settings' as const), window: fc.nat({ max: 100_000 }) }),
    fc.record({ kind: fc.constant('credit' as const), on: fc.boolean() }),
  ),
  { maxLength: 25 },
);

type Script = typeof frames extends fc.Arbitrary<infer T> ? T : never;

function bytesOf(script: Script): Buffer {
  const parts: Buffer[] = [];
  let id = -1;
  for (const each of script) {
    if (each.kind === 'request' || id === -1) {
      id += 2;
      const isSplit = each.kind === 'request' && each.split;
      parts.push(isSplit ? headers(id, post.subarray(0, 9), 0) : headers(id, post, 4));
      if (isSplit) parts.push(continuation(id, post.subarray(9)));
    }
    parts.push(framesOf(each, id));
  }
  return Buffer.concat(parts);
}

function framesOf(each: Script[number], id: number): Buffer {
  switch (each.kind) {
    case 'data': {
      const body = Buffer.alloc(each.bytes, 65 + (each.bytes % 26));
      const payload = each.padded ? Buffer.concat([Buffer.from([5]), body, Buffer.alloc(5)]) : body;
      return data(id, payload, (each.padded ? 8 : 0) | (each.end ? 1 : 0));
    }
    case 'reset':
      return rst(id, 8);
    case 'ping':
      return ping();
    case 'settings':
      return settings([[4, each.window]]);
    case 'credit':
      return windowUpdate(each.on ? id : 0, 10);
    default:
      return Buffer.alloc(0);
  }
}

/** What happened: requests as the acceptor saw them, and how the connection stands. */
function outcome(bytes: Buffer, cuts: readonly number[]): unknown {
  const { peer, acceptor } = playClient();
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (cut <= from) continue;
    peer.conn.receive(bytes.subarray(from, cut));
    from = cut;
  }
  const answers = peer
    .turn()
    .map(({ type, flags, stream, payload }) => [type, flags, stream, payload.toString('hex')]);
  return {
    answers: answers.filter(([type]) => type !== 8),
    state: peer.conn.state,
    requests: acceptor.requests.map((each) => [each.head.path, each.body, each.ended, each.aborted?.message]),
  };
}

describe('any split of the bytes', () => {
  it('gives the same events', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat({ max: 20_000 }), { maxLength: 30 }), (script, cuts) => {
        const bytes = bytesOf(script);
        const whole = outcome(bytes, []);
        const sorted = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
        assert.deepEqual(outcome(bytes, sorted), whole);
        assert.deepEqual(outcome(bytes, Array.from(bytes.keys())), whole);
      }),
      { numRuns: 60 },
    );
  });

  it('answers any bytes by GOAWAY at worst', () => {
    fc.assert(
      fc.property(bytesWithHeads(), (bytes) => {
        const { peer } = playClient();
        peer.conn.receive(bytes);
        peer.turn();
        assert.ok(['open', 'closed'].includes(peer.conn.state));
      }),
      { numRuns: 500 },
    );
  });
});

/** Frames with random types, flags, small streams and random payloads. */
function bytesWithHeads(): fc.Arbitrary<Buffer> {
  const one = fc
    .tuple(fc.nat({ max: 10 }), fc.nat({ max: 255 }), fc.nat({ max: 7 }), fc.uint8Array({ maxLength: 40 }))
    .map(([type, flags, stream, payload]) => {
      const head = Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, stream]);
      return Buffer.concat([head, payload]);
    });
  return fc.array(one, { maxLength: 12 }).map((parts) => Buffer.concat(parts));
}
