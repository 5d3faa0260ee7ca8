/** What gRPC callers are told, and when. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Field, fieldValue } from '../../../../sidecar/codec/field.ts';
import { flagNames } from '../../../../sidecar/observe/flags.ts';
import { setUpExchange } from '../../../support/exchange-set-up.ts';
import { type FakeServerStream, requestHead, responseHead } from '../../../support/fake-codec.ts';

const callWithin = (timeout: string) =>
  requestHead({
    method: 'POST',
    fields: [new Field('content-type', 'application/grpc'), new Field('grpc-timeout', timeout)],
  });
const grpcStatusOf = ({ heads }: FakeServerStream) => fieldValue(heads[0]?.fields ?? [], 'grpc-status');

describe('an Exchange of a gRPC caller', () => {
  it('answers a gRPC caller in its own terms', () => {
    const { begin, refuse } = setUpExchange();
    refuse.add('a');
    const { stream } = begin(callWithin('1S'));
    assert.deepEqual(stream.calls, ['response 200 end']);
    assert.equal(grpcStatusOf(stream), '14');
  });

  it("sends nothing whose caller's deadline passed in line, and leaves the connection to others", () => {
    const { begin, sent, dials, clock, cluster, connections, outcomes, proxy } = setUpExchange({
      dialsLater: true,
    });
    const late = begin(callWithin('150m'));
    const early = begin(callWithin('1S'));
    // The coarse timer would come later.
    clock.advance(151);
    assert.deepEqual(late.stream.calls, []);
    dials[0]?.();
    assert.deepEqual(late.stream.calls, ['response 200 end']);
    assert.equal(grpcStatusOf(late.stream), '4');
    assert.deepEqual([outcomes[0]?.status, flagNames(outcomes[0]?.flags ?? 0)], [504, 'UT']);
    assert.equal(connections[0]?.connection.requests.length, 1);
    assert.equal(fieldValue(sent().head.fields, 'grpc-timeout'), '849m');
    sent().receiver.onResponse(responseHead(200), true);
    assert.equal(early.exchange.stage, 'done');
    assert.deepEqual([cluster.active, proxy.metrics.active], [0, 0]);
  });

  it('answers a gRPC caller whose deadline passes in line, and waits no more', () => {
    const { begin, dials, clock, cluster, connections } = setUpExchange({ dialsLater: true });
    const { stream } = begin(callWithin('150m'));
    clock.advance(400);
    assert.equal(grpcStatusOf(stream), '4');
    const lines = [...cluster.hosts].map(({ pool, active }) => [pool.waiting, active]);
    assert.deepEqual(lines, [[0, 0]]);
    dials[0]?.();
    assert.deepEqual(connections[0]?.connection.requests, []);
  });

  it('reads the gRPC status from the trailers', () => {
    const { begin, sent, outcomes } = setUpExchange();
    begin(requestHead({ method: 'POST', fields: [new Field('content-type', 'application/grpc+proto')] }));
    sent().receiver.onResponse(responseHead(200), false);
    sent().receiver.onResponseEnd([new Field('grpc-status', '5')]);
    assert.equal(outcomes[0]?.grpcStatus, 5);
  });
});
