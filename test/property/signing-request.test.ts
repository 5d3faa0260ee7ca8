import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createKeyPair } from '../../certs/client/key-pair.ts';
import { readSigningRequest } from '../../certs/signing-request.ts';
import { MeshError } from '../../kit/errors.ts';

function onlyMeshErrors(bytes: Uint8Array): void {
  try {
    readSigningRequest(bytes);
  } catch (thrown) {
    if (!(thrown instanceof MeshError)) throw thrown;
  }
}

describe('readSigningRequest', () => {
  it('answers any bytes with a key or a MeshError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), onlyMeshErrors), { numRuns: 2_000 });
  });

  it('answers a request with broken bytes likewise, and never with another key than was signed', () => {
    const good = createKeyPair().signingRequest;
    const signed = readSigningRequest(good).fingerprint;
    const edit = fc.record({ at: fc.nat(good.length - 1), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), fc.nat(good.length), (edits, cut) => {
        const bytes = Buffer.from(good);
        for (const { at, to } of edits) bytes[at] = to;
        onlyMeshErrors(bytes.subarray(0, cut));
        try {
          return readSigningRequest(bytes).fingerprint === signed;
        } catch (thrown) {
          return thrown instanceof MeshError;
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
