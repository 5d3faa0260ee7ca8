/** What is sent is what arrives, and bytes that were damaged are an error or some other valid value. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ParseFailure } from '../../../kit/parse.ts';
import type { Snapshot } from '../../../mesh/model.ts';
import { Assembler } from '../../../proto/assembler.ts';
import { applyDelta, endpointDelta, endpointsHash } from '../../../proto/endpoints.ts';
import { decodePart, encodePart, featuresOf, manifestOf, type Part, partsOf } from '../../../proto/part.ts';
import { sidecarFeatures } from '../../../proto/protocol.ts';
import { decodeAgentMessage, encodeAgentMessage } from '../../../proto/sidecar-wire.ts';
import { decodeSnapshot, encodeSnapshot } from '../../../proto/snapshot.ts';
import { formatStaticConfig, parseStaticConfig } from '../../../proto/static-config.ts';
import { anyBootstrap } from '../../support/arbitrary-bootstrap.ts';
import { anyEndpoints, anySnapshot } from '../../support/arbitrary-snapshot.ts';

describe('a snapshot on the wire', () => {
  it('arrives as it was sent, as one message', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
      }),
    );
  });

  it('arrives as it was sent, as parts, manifest and endpoint sets in any order', () => {
    fc.assert(
      fc.property(anySnapshot, fc.infiniteStream(fc.nat()), (snapshot, order) => {
        const assembler = new Assembler();
        const parts = partsOf(snapshot);
        const deliveries: (() => void)[] = [
          () => assembler.offer(7, manifestOf(snapshot.version, parts)),
          ...parts.map((part) => () => assembler.addParts([relayed(part)])),
          ...[...snapshot.endpoints.values()].map((set) => () => {
            assembler.addEndpoints({ sets: [set], deltas: [] });
          }),
        ];
        while (deliveries.length > 0) {
          assert.equal(assembler.assemble().kind, 'waiting');
          const [deliver] = deliveries.splice(order.next().value % deliveries.length, 1);
          deliver?.();
        }
        const assembled = assembler.assemble();
        assert.ok(assembled.kind === 'snapshot');
        assert.deepEqual(withoutOrder(assembled.snapshot), withoutOrder(snapshot));
        assert.deepEqual(assembler.accept(7), assembler.active);
      }),
    );
  });

  it('needs no feature that a sidecar of this version lacks', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        for (const part of partsOf(snapshot)) {
          for (const feature of featuresOf(decodePart(part)))
            assert.ok(sidecarFeatures.includes(feature), feature);
        }
      }),
    );
  });

  it('is an error or a valid snapshot after any damage', () => {
    fc.assert(
      fc.property(anySnapshot, fc.nat(), fc.integer({ min: 1, max: 255 }), (snapshot, at, flip) => {
        const bytes = encodeSnapshot(snapshot);
        const index = at % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ flip;
        expectValueOrFailure(() => encodeSnapshot(decodeSnapshot(bytes)));
        expectValueOrFailure(() => encodeSnapshot(decodeSnapshot(bytes.subarray(0, index))));
        expectValueOrFailure(() => decodeAgentMessage(bytes));
      }),
    );
  });

  it('is an error or a message after arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expectValueOrFailure(() => decodeAgentMessage(bytes));
        expectValueOrFailure(() => decodeSnapshot(bytes));
      }),
    );
  });

  it('is refused where a part was damaged on its way', () => {
    fc.assert(
      fc.property(anySnapshot, fc.nat(), (snapshot, at) => {
        const [part] = partsOf(snapshot);
        assert.ok(part);
        const content = Uint8Array.from(part.content);
        const index = at % content.length;
        content[index] = (content[index] ?? 0) ^ 1;
        assert.throws(() => decodePart({ ...part, content }), ParseFailure);
      }),
    );
  });
});

describe('an endpoint delta', () => {
  it('leads to the set that was sent whole', () => {
    fc.assert(
      fc.property(anyEndpoints, anyEndpoints, (before, after) => {
        const from = { cluster: 'a/b:1', version: 4, endpoints: before };
        const to = { cluster: 'a/b:1', version: 5, endpoints: after };
        const next = applyDelta(from, endpointDelta(from, to));
        assert.deepEqual(next, to);
        assert.equal(endpointsHash(next ?? from), endpointsHash(to));
        assert.equal(applyDelta({ ...from, version: 3 }, endpointDelta(from, to)), undefined);
      }),
    );
  });
});

describe('a static file', () => {
  it('reads as it was written', () => {
    fc.assert(
      fc.property(anySnapshot, anyBootstrap, (snapshot, bootstrap) => {
        const files = { privateKey: 'key.pem', certificateChain: 'chain.pem', trustBundle: 'trust.pem' };
        const config = { snapshot, bootstrap, identity: { kind: 'files' as const, files } };
        assert.deepEqual(parseStaticConfig(formatStaticConfig(config)), config);
      }),
    );
  });
});

/** A part after a trip over the sidecar's socket. */
function relayed(part: Part): Part {
  const message = decodeAgentMessage(encodeAgentMessage({ kind: 'parts', parts: [part] }));
  assert.ok(message.kind === 'parts' && message.parts[0] !== undefined);
  const [arrived] = message.parts;
  assert.deepEqual(encodePart(decodePart(arrived)).hash, part.hash);
  return arrived;
}

function expectValueOrFailure(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ParseFailure, String(error));
  }
}

function withoutOrder(snapshot: Snapshot): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...snapshot,
    services: sorted(snapshot.services),
    clusters: sorted(snapshot.clusters),
    policies: sorted(snapshot.policies),
    endpoints: sorted(snapshot.endpoints),
  };
}
