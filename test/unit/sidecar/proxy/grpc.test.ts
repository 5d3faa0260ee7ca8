import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Field } from '../../../../sidecar/codec/field.ts';
import {
  formatGrpcTimeout,
  grpcStatusIn,
  grpcTimeoutMs,
  httpStatusLike,
  isGrpcType,
  passOnTimeout,
} from '../../../../sidecar/proxy/grpc.ts';

describe('gRPC fields', () => {
  it('reads a timeout of every unit, and none where it is not one', () => {
    const cases: readonly (readonly [string, number])[] = [
      ['1H', 3_600_000],
      ['2M', 120_000],
      ['3S', 3000],
      ['250m', 250],
      ['1500u', 1.5],
      ['99999999n', 99.999_999],
      ['0m', 0],
      ['', -1],
      ['m', -1],
      ['5', -1],
      ['-5m', -1],
      ['1.5S', -1],
      ['123456789m', -1],
      ['5s', -1],
    ];
    for (const [text, ms] of cases) assert.ok(Math.abs(grpcTimeoutMs(text) - ms) < 1e-6, text);
  });

  it('says what is left so that the next hop never has more', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 1e12, noNaN: true }), (leftMs) => {
        const text = formatGrpcTimeout(leftMs);
        assert.match(text, /^[1-9]\d{0,7}[mS]$/);
        const read = grpcTimeoutMs(text);
        assert.ok(read > 0 && read <= leftMs, `${leftMs} became ${text}`);
      }),
    );
    assert.equal(formatGrpcTimeout(-3), '1m');
  });

  it('puts what is left in the place of what was said', () => {
    const fields = [new Field('a', 'b'), new Field('grpc-timeout', '5S'), new Field('te', 'trailers')];
    passOnTimeout(fields, 1234.5);
    assert.deepEqual(
      fields.map(({ name, value }) => `${name}: ${value}`),
      ['a: b', 'grpc-timeout: 1234m', 'te: trailers'],
    );
  });

  it('reads a status where there is one', () => {
    assert.equal(grpcStatusIn([new Field('grpc-status', '14')]), 14);
    assert.equal(grpcStatusIn([new Field('grpc-status', 'bad')]), -1);
    assert.equal(grpcStatusIn([new Field('a', '1')]), undefined);
  });

  it('takes what only looks like gRPC for HTTP', () => {
    for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc;charset=x'])
      assert.ok(isGrpcType(type), type);
    for (const type of ['application/grpc-web+proto', 'application/grpcx', 'text/plain'])
      assert.ok(!isGrpcType(type), type);
  });

  it("counts the server's failures as errors, the caller's not", () => {
    assert.equal(httpStatusLike(200, 14), 500);
    assert.equal(httpStatusLike(200, 5), 200);
    assert.equal(httpStatusLike(200, 0), 200);
    assert.equal(httpStatusLike(503, undefined), 503);
  });
});
