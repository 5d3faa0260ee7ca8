/** Which requests are sent again, when and where. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { flagNames } from '../../../../sidecar/observe/flags.ts';
import { setUpExchange, upstreamError } from '../../../support/exchange-set-up.ts';
import { requestHead, responseHead } from '../../../support/fake-codec.ts';

describe('an Exchange whose upstream fails', () => {
  it('sends a request again, elsewhere, when the first endpoint refuses the connection', () => {
    const { begin, refuse, connections, outcomes, sent } = setUpExchange({ endpoints: ['a', 'b'] });
    refuse.add('a');
    begin();
    begin();
    connections.forEach((_, at) => {
      sent(at).receiver.onResponse(responseHead(204), true);
    });
    assert.ok(connections.every(({ name }) => name === 'b'));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      [204, 204],
    );
    assert.deepEqual(outcomes.map(({ attempts }) => attempts).sort(), [1, 2]);
    assert.ok(outcomes.some(({ flags }) => flagNames(flags) === 'RT'));
  });

  it('answers 503 UF when all attempts are refused', () => {
    const { begin, refuse, outcomes } = setUpExchange();
    refuse.add('a');
    const { stream } = begin();
    assert.equal(stream.calls[0], 'response 503');
    assert.match(flagNames(outcomes[0]?.flags ?? 0), /UF/);
  });

  it('sends the kept body again after a stream was refused', () => {
    const { begin, sent } = setUpExchange({ endpoints: ['a', 'b'] });
    const { exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestData(Buffer.from('one'));
    sent(0).receiver.onResponseAborted(upstreamError('stream_refused', 'always'));
    exchange.onRequestData(Buffer.from('two'));
    exchange.onRequestEnd(undefined);
    assert.deepEqual(sent(1).stream.calls, ['data one', 'data two', 'end']);
  });

  it('sends once more what nobody saw, also where no retries are allowed, and nothing else', () => {
    const { begin, sent, outcomes, refuse, connections } = setUpExchange({
      endpoints: ['a', 'b'],
      retries: 0,
    });
    const first = begin(requestHead({ method: 'POST' }));
    sent(0).receiver.onResponseAborted(upstreamError('stream_refused', 'always'));
    sent(1).receiver.onResponseAborted(upstreamError('stream_refused', 'always'));
    assert.deepEqual(first.stream.calls[0], 'response 503');
    assert.deepEqual([outcomes[0]?.attempts, connections.length], [2, 2]);
    for (const name of ['a', 'b']) refuse.add(name);
    assert.equal(begin().stream.calls[0], 'response 503');
    assert.equal(outcomes[1]?.attempts, 1);
  });

  it('does not send a body again that outgrew what is kept', () => {
    const { begin, sent, connections } = setUpExchange({ endpoints: ['a', 'b'] });
    const { stream, exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestData(Buffer.alloc(65 * 1024));
    sent(0).receiver.onResponseAborted(upstreamError('stream_refused', 'always'));
    assert.equal(connections.length, 1);
    assert.equal(stream.calls[0], 'response 503');
  });

  it('sends again what died with its connection only where twice is as once', () => {
    for (const [method, attempts] of [
      ['GET', 2],
      ['POST', 1],
    ] as const) {
      const { begin, sent, outcomes } = setUpExchange({ endpoints: ['a', 'b'] });
      begin(requestHead({ method }));
      sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
      if (attempts === 2) sent(1).receiver.onResponse(responseHead(200), true);
      assert.equal(outcomes[0]?.attempts, attempts, method);
      assert.equal(outcomes[0]?.status, attempts === 2 ? 200 : 502, method);
    }
  });

  it('goes again on a fresh connection, a moment later, where there is no other endpoint', () => {
    const { begin, sent, connections, outcomes, clock } = setUpExchange();
    begin();
    begin();
    sent(1).receiver.onResponse(responseHead(200), true);
    assert.equal(connections.length, 2);
    (connections[1] as (typeof connections)[number]).connection.available = 1;
    connections[1]?.owner.onAvailable(connections[1].connection);
    sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
    assert.equal(connections.length, 2);
    clock.advance(25);
    assert.equal(connections.length, 3);
    sent(2).receiver.onResponse(responseHead(204), true);
    assert.deepEqual([outcomes[1]?.status, outcomes[1]?.attempts], [204, 2]);
  });

  it('goes only elsewhere with what a new connection lost', () => {
    const alone = setUpExchange();
    alone.begin();
    alone.sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'elsewhere'));
    alone.clock.advance(25);
    assert.equal(alone.connections.length, 1);
    assert.deepEqual([alone.outcomes[0]?.status, alone.outcomes[0]?.attempts], [502, 1]);
    const two = setUpExchange({ endpoints: ['a', 'b'] });
    two.begin();
    two.sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'elsewhere'));
    two.sent(1).receiver.onResponse(responseHead(200), true);
    assert.deepEqual([two.outcomes[0]?.status, two.outcomes[0]?.attempts], [200, 2]);
  });

  it('asks nobody again who took all the time to connect, and says so to a caller that may know others', () => {
    for (const [isLink, code, last, attempts] of [
      [false, 'connect_timeout', 'end', 1],
      [true, 'connect_timeout', 'reset connect_timeout', 1],
      [true, 'stream_refused', 'reset stream_refused', 2],
    ] as const) {
      const { begin, connections, outcomes } = setUpExchange({ isLink });
      const { stream } = begin();
      for (const { connection } of connections)
        connection.requests[0]?.receiver.onResponseAborted(upstreamError(code, 'always'));
      assert.equal(stream.calls.at(-1), last);
      assert.deepEqual(
        [outcomes[0]?.status, outcomes[0]?.attempts, connections.length],
        [503, attempts, attempts],
      );
    }
    const { begin, sent, outcomes } = setUpExchange({ endpoints: ['a', 'b'] });
    begin(requestHead({ method: 'POST' }));
    sent(0).receiver.onResponseAborted(upstreamError('connect_timeout', 'always'));
    sent(1).receiver.onResponse(responseHead(200), true);
    assert.deepEqual([outcomes[0]?.status, outcomes[0]?.attempts], [200, 2]);
  });

  it('asks no more for a caller that is gone before the moment is over', () => {
    const { begin, sent, connections, clock, cluster } = setUpExchange();
    const { exchange } = begin();
    sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
    exchange.onRequestAborted(new MeshError('connection_closed', 'gone', { origin: 'downstream' }));
    clock.advance(25);
    assert.deepEqual([connections.length, cluster.active], [1, 0]);
  });
});
