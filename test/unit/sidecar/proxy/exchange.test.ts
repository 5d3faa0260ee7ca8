/** One request through its exchange, with scripted codecs on both sides. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { Field } from '../../../../sidecar/codec/field.ts';
import { flagNames } from '../../../../sidecar/observe/flags.ts';
import { setUpExchange, upstreamError } from '../../../support/exchange-set-up.ts';
import { requestHead, responseHead } from '../../../support/fake-codec.ts';

describe('Exchange', () => {
  it('carries head, body and trailers in both directions and counts itself out', () => {
    const { begin, sent, outcomes, cluster, proxy } = setUpExchange();
    const { stream, exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestData(Buffer.from('ping'));
    exchange.onRequestEnd(undefined);
    assert.deepEqual(sent().stream.calls, ['data ping', 'end']);
    sent().receiver.onResponse(responseHead(200), false);
    sent().receiver.onResponseData(Buffer.from('pong!'));
    sent().receiver.onResponseEnd([new Field('x-sum', '5')]);
    assert.deepEqual(stream.calls, ['response 200', 'data 5', 'end x-sum: 5']);
    assert.equal(outcomes.length, 1);
    assert.equal(outcomes[0]?.requestBytes, 4);
    assert.equal(outcomes[0]?.responseBytes, 5);
    assert.equal(outcomes[0]?.endpoint, 'a');
    assert.deepEqual([cluster.active, proxy.live.size, proxy.metrics.active], [0, 0, 0]);
  });

  it("names the receiver's port on a link and gives the request an id", () => {
    const { begin, sent } = setUpExchange();
    begin();
    const lines = sent().head.fields.map((field) => field.line.trim());
    assert.deepEqual(lines, ['x-request-id: test-0000000000000001', 'heddle-port: 8080']);
  });

  it('names itself in Via both ways where it is to, by the version of each side', () => {
    const { begin, sent } = setUpExchange({ via: true });
    const { stream } = begin();
    const answer = responseHead(200);
    sent().receiver.onResponse(answer, true);
    assert.equal(sent().head.fields.find(({ name }) => name === 'via')?.value, '1.1 heddle');
    assert.equal(stream.heads[0]?.fields.find(({ name }) => name === 'via')?.value, '2 heddle');
  });

  it('keeps the id that the request came with', () => {
    const { begin, sent } = setUpExchange();
    begin(requestHead({ fields: [new Field('x-request-id', 'mine')] }));
    assert.deepEqual(
      sent()
        .head.fields.filter((field) => field.name === 'x-request-id')
        .map((field) => field.value),
      ['mine'],
    );
  });

  it('never answers twice: an upstream that breaks after its head resets the downstream', () => {
    const { begin, sent, outcomes } = setUpExchange();
    const { stream } = begin();
    sent().receiver.onResponse(responseHead(200), false);
    sent().receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
    assert.deepEqual(stream.calls, ['response 200', 'reset connection_reset']);
    assert.match(flagNames(outcomes[0]?.flags ?? 0), /UC/);
  });

  it('cancels the upstream when the downstream goes away', () => {
    const { begin, sent, outcomes } = setUpExchange();
    const { exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestAborted(new MeshError('connection_closed', 'gone', { origin: 'downstream' }));
    assert.deepEqual(sent().stream.calls, ['cancel connection_closed']);
    assert.equal(outcomes[0]?.status, 0);
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'DC');
  });

  it('holds the downstream back while the upstream is full, and the other way round', () => {
    const { begin, sent } = setUpExchange();
    const { stream, exchange } = begin(requestHead({ method: 'POST' }), false);
    sent().stream.hasRoom = false;
    exchange.onRequestData(Buffer.from('x'));
    assert.deepEqual(stream.calls, ['pause']);
    sent().receiver.onRequestWritable();
    assert.deepEqual(stream.calls, ['pause', 'resume']);
    stream.hasRoom = false;
    sent().receiver.onResponse(responseHead(200), false);
    sent().receiver.onResponseData(Buffer.from('y'));
    assert.ok(sent().stream.calls.includes('pause'));
    exchange.onResponseWritable();
    assert.ok(sent().stream.calls.includes('resume'));
  });

  it('lets a body flow again that was held back while there was no connection', () => {
    const { begin, sent, dials } = setUpExchange({ dialsLater: true });
    const { stream, exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestData(Buffer.alloc(70_000));
    assert.deepEqual(stream.calls, ['pause']);
    dials[0]?.();
    assert.equal(sent().stream.calls.length, 1);
    assert.deepEqual(stream.calls, ['pause', 'resume']);
  });

  it('answers 504 UT when the request takes longer than its timeout', () => {
    const { begin, clock, sent, outcomes } = setUpExchange({ requestMs: 500 });
    const { stream } = begin();
    clock.advance(400);
    assert.deepEqual(stream.calls, []);
    clock.advance(400);
    assert.equal(stream.calls[0], 'response 504');
    assert.deepEqual(sent().stream.calls, ['cancel deadline_exceeded']);
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'UT');
  });

  it('bounds a tunnel by its idle time alone once it is open', () => {
    const { clock, begin, sent } = setUpExchange({ requestMs: 500 });
    const { stream } = begin(requestHead({ protocol: 'websocket' }), false);
    sent().receiver.onResponse(responseHead(101), false);
    clock.advance(1_000);
    assert.deepEqual(stream.calls, ['response 101']);
    clock.advance(61_000);
    assert.match(stream.calls.at(-1) ?? '', /reset/);
  });

  it('lets a body flow for longer than the idle time, but not stand still for it', () => {
    const { begin, clock, sent, outcomes } = setUpExchange();
    const { stream } = begin();
    sent().receiver.onResponse(responseHead(200), false);
    for (let n = 0; n < 5; n++) {
      sent().receiver.onResponseData(Buffer.from('tick'));
      clock.advance(40_000);
    }
    assert.ok(!stream.calls.some((call) => call.startsWith('reset')));
    clock.advance(120_000);
    assert.equal(stream.calls.at(-1), 'reset idle_timeout');
    assert.match(flagNames(outcomes[0]?.flags ?? 0), /SI/);
  });

  it("refuses beyond the cluster's limit of requests", () => {
    const { begin, outcomes } = setUpExchange();
    begin();
    begin();
    const { stream } = begin();
    assert.equal(stream.calls[0], 'response 503');
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'UO');
  });

  it('answers 503 with retry-after, and tries nobody, while memory is short', () => {
    const { begin, proxy, outcomes, connections, cluster } = setUpExchange();
    proxy.pressure.sheds = true;
    const { stream } = begin();
    assert.equal(stream.calls[0], 'response 503');
    assert.ok(stream.heads[0]?.fields.some(({ name }) => name === 'retry-after'));
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'UO');
    assert.deepEqual([connections.length, cluster.active, proxy.pressure.shed], [0, 0, 1]);
  });

  it('lets a connection end with its answer while memory is short, but keeps a link', () => {
    for (const isLink of [false, true]) {
      const { begin, proxy, drains } = setUpExchange({ isLink });
      begin();
      assert.equal(drains.length, 0);
      proxy.pressure.closesConnections = true;
      begin();
      assert.equal(drains.length, isLink ? 0 : 1);
    }
  });
});
