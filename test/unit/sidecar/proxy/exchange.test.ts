/** One request through its exchange, with scripted codecs on both sides. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { silentLog } from '../../../../kit/log.ts';
import { seededRandom } from '../../../../kit/random.ts';
import type { Cluster, Endpoint } from '../../../../mesh/model.ts';
import { LiveCluster } from '../../../../sidecar/cluster/live-cluster.ts';
import { Pool } from '../../../../sidecar/cluster/pool.ts';
import type { ClientConnectionOwner } from '../../../../sidecar/codec/codec.ts';
import { Field, fieldValue } from '../../../../sidecar/codec/field.ts';
import { TimerWheel } from '../../../../sidecar/net/timer-wheel.ts';
import { flagNames } from '../../../../sidecar/observe/flags.ts';
import { Metrics } from '../../../../sidecar/observe/metrics.ts';
import type { Outcome } from '../../../../sidecar/observe/outcome.ts';
import { SeriesSet } from '../../../../sidecar/observe/series.ts';
import type { Exchange } from '../../../../sidecar/proxy/exchange.ts';
import { LiveList } from '../../../../sidecar/proxy/live-list.ts';
import { noPressure } from '../../../../sidecar/proxy/pressure.ts';
import { RequestIds } from '../../../../sidecar/proxy/request-ids.ts';
import { type ProxyState, ServeContext } from '../../../../sidecar/proxy/serve.ts';
import { DateStamp } from '../../../../sidecar/proxy/stamp.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import {
  FakeClientConnection,
  FakeServerStream,
  requestHead,
  responseHead,
  type SentRequest,
} from '../../../support/fake-codec.ts';

const description: Cluster = {
  name: 'shop/orders:80',
  service: { namespace: 'shop', name: 'orders' },
  port: 80,
  protocol: 'http',
  balance: 'round_robin',
  timeouts: { connectMs: 1_000, requestMs: 0, idleMs: 60_000, detectMs: 5000 },
  retry: { attempts: 1 },
  limits: { maxConnections: 10, maxRequests: 2 },
};

const endpoint = (name: string): Endpoint => ({
  id: name,
  identity: 'spiffe://mesh/ns/shop/sa/orders',
  transport: 'link',
  addresses: ['127.0.0.1'],
  port: 9000,
  targetPort: 8080,
  network: '',
  locality: { region: '', zone: '' },
  weight: 1,
  state: 'ready',
  features: [],
  shared: false,
});

function setUp(
  options: {
    endpoints?: string[];
    requestMs?: number;
    isLink?: boolean;
    dialsLater?: boolean;
    via?: boolean;
    retries?: number;
  } = {},
) {
  const clock = new FakeClock();
  const connections: { name: string; connection: FakeClientConnection; owner: ClientConnectionOwner }[] = [];
  const refuse = new Set<string>();
  const dials: (() => void)[] = [];
  const described = { ...description, retry: { attempts: options.retries ?? 1 } };
  const cluster = new LiveCluster(described, {
    createPool: ({ id }) =>
      new Pool({
        connect: (owner, done) => {
          if (refuse.has(id)) {
            done(
              new MeshError('connect_refused', `${id} refused`, { origin: 'upstream', retry: 'always' }),
              undefined,
            );
            return;
          }
          const connection = new FakeClientConnection();
          const connected = () => {
            connections.push({ name: id, connection, owner });
            done(undefined, connection);
          };
          if (options.dialsLater) dials.push(connected);
          else connected();
        },
        requestsPerConnection: 1,
        maxConnections: 10,
        maxWaiting: 10,
      }),
    random: seededRandom(1),
    caller: 'test/web.0@local',
  });
  cluster.setEndpoints({
    cluster: description.name,
    version: 1,
    endpoints: (options.endpoints ?? ['a']).map(endpoint),
  });
  const outcomes: Outcome[] = [];
  const metrics = new Metrics();
  const unrouted = new SeriesSet(metrics, {
    direction: 'outbound',
    destination: '',
    port: 0,
    source: '',
    route: '',
  });
  const proxy = {
    runtime: { snapshot: { self: { via: options.via ?? false } } } as ProxyState['runtime'],
    clock,
    timers: new TimerWheel(clock),
    metrics,
    accessLog: {
      wants: () => true,
      write: (outcome: Outcome) => outcomes.push(outcome),
    } as unknown as ProxyState['accessLog'],
    requestIds: new RequestIds('test'),
    dates: new DateStamp(clock),
    random: seededRandom(2),
    live: new LiveList(),
    log: silentLog,
    inboundTunnels: new Set(),
    pressure: noPressure(),
  } satisfies ProxyState;
  const forwarding = {
    cluster,
    route: 'HTTPRoute shop/orders #0',
    filters: [],
    requestMs: options.requestMs,
    attemptMs: undefined,
  };
  const planner = {
    direction: 'outbound' as const,
    unrouted,
    plan: (exchange: Exchange) => exchange.forward(forwarding),
  };
  const peer = { address: '127.0.0.1', port: 5, tls: undefined };
  const context = new ServeContext({
    ...{ proxy, planner, protocol: 'http1', peer },
    ...{ isLink: options.isLink ?? false, connections: new Set<ServeContext>() },
  });
  const drains: ServeContext[] = [];
  context.connection = { drain: () => void drains.push(context), destroy: () => {} };
  const begin = (head = requestHead(), end = true) => {
    const stream = new FakeServerStream();
    return { stream, exchange: context.onRequest(stream, head, end) as Exchange };
  };
  const sent = (at = 0): SentRequest => connections[at]?.connection.requests[0] as SentRequest;
  return { clock, cluster, connections, refuse, outcomes, metrics, proxy, begin, sent, drains, dials };
}

const upstreamError = (
  code: 'connection_reset' | 'connect_timeout' | 'stream_refused',
  retry: 'always' | 'if_idempotent' | 'elsewhere' | 'never',
) => new MeshError(code, 'the upstream broke', { origin: 'upstream', retry });

const callWithin = (timeout: string) =>
  requestHead({
    method: 'POST',
    fields: [new Field('content-type', 'application/grpc'), new Field('grpc-timeout', timeout)],
  });
const grpcStatusOf = ({ heads }: FakeServerStream) => fieldValue(heads[0]?.fields ?? [], 'grpc-status');

describe('Exchange', () => {
  it('carries head, body and trailers in both directions and counts itself out', () => {
    const { begin, sent, outcomes, cluster, proxy } = setUp();
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
    const { begin, sent } = setUp();
    begin();
    const lines = sent().head.fields.map((field) => field.line.trim());
    assert.deepEqual(lines, ['x-request-id: test-0000000000000001', 'heddle-port: 8080']);
  });

  it('names itself in Via both ways where it is to, by the version of each side', () => {
    const { begin, sent } = setUp({ via: true });
    const { stream } = begin();
    const answer = responseHead(200);
    sent().receiver.onResponse(answer, true);
    assert.equal(sent().head.fields.find(({ name }) => name === 'via')?.value, '1.1 heddle');
    assert.equal(stream.heads[0]?.fields.find(({ name }) => name === 'via')?.value, '2 heddle');
  });

  it('keeps the id that the request came with', () => {
    const { begin, sent } = setUp();
    begin(requestHead({ fields: [new Field('x-request-id', 'mine')] }));
    assert.deepEqual(
      sent()
        .head.fields.filter((field) => field.name === 'x-request-id')
        .map((field) => field.value),
      ['mine'],
    );
  });

  it('sends a request again, elsewhere, when the first endpoint refuses the connection', () => {
    const { begin, refuse, connections, outcomes, sent } = setUp({ endpoints: ['a', 'b'] });
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
    const { begin, refuse, outcomes } = setUp();
    refuse.add('a');
    const { stream } = begin();
    assert.equal(stream.calls[0], 'response 503');
    assert.match(flagNames(outcomes[0]?.flags ?? 0), /UF/);
  });

  it('sends the kept body again after a stream was refused', () => {
    const { begin, sent } = setUp({ endpoints: ['a', 'b'] });
    const { exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestData(Buffer.from('one'));
    sent(0).receiver.onResponseAborted(upstreamError('stream_refused', 'always'));
    exchange.onRequestData(Buffer.from('two'));
    exchange.onRequestEnd(undefined);
    assert.deepEqual(sent(1).stream.calls, ['data one', 'data two', 'end']);
  });

  it('sends once more what nobody saw, also where no retries are allowed, and nothing else', () => {
    const { begin, sent, outcomes, refuse, connections } = setUp({ endpoints: ['a', 'b'], retries: 0 });
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
    const { begin, sent, connections } = setUp({ endpoints: ['a', 'b'] });
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
      const { begin, sent, outcomes } = setUp({ endpoints: ['a', 'b'] });
      begin(requestHead({ method }));
      sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
      if (attempts === 2) sent(1).receiver.onResponse(responseHead(200), true);
      assert.equal(outcomes[0]?.attempts, attempts, method);
      assert.equal(outcomes[0]?.status, attempts === 2 ? 200 : 502, method);
    }
  });

  it('goes again on a fresh connection, a moment later, where there is no other endpoint', () => {
    const { begin, sent, connections, outcomes, clock } = setUp();
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
    const alone = setUp();
    alone.begin();
    alone.sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'elsewhere'));
    alone.clock.advance(25);
    assert.equal(alone.connections.length, 1);
    assert.deepEqual([alone.outcomes[0]?.status, alone.outcomes[0]?.attempts], [502, 1]);
    const two = setUp({ endpoints: ['a', 'b'] });
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
      const { begin, connections, outcomes } = setUp({ isLink });
      const { stream } = begin();
      for (const { connection } of connections)
        connection.requests[0]?.receiver.onResponseAborted(upstreamError(code, 'always'));
      assert.equal(stream.calls.at(-1), last);
      assert.deepEqual(
        [outcomes[0]?.status, outcomes[0]?.attempts, connections.length],
        [503, attempts, attempts],
      );
    }
    const { begin, sent, outcomes } = setUp({ endpoints: ['a', 'b'] });
    begin(requestHead({ method: 'POST' }));
    sent(0).receiver.onResponseAborted(upstreamError('connect_timeout', 'always'));
    sent(1).receiver.onResponse(responseHead(200), true);
    assert.deepEqual([outcomes[0]?.status, outcomes[0]?.attempts], [200, 2]);
  });

  it('asks no more for a caller that is gone before the moment is over', () => {
    const { begin, sent, connections, clock, cluster } = setUp();
    const { exchange } = begin();
    sent(0).receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
    exchange.onRequestAborted(new MeshError('connection_closed', 'gone', { origin: 'downstream' }));
    clock.advance(25);
    assert.deepEqual([connections.length, cluster.active], [1, 0]);
  });

  it('never answers twice: an upstream that breaks after its head resets the downstream', () => {
    const { begin, sent, outcomes } = setUp();
    const { stream } = begin();
    sent().receiver.onResponse(responseHead(200), false);
    sent().receiver.onResponseAborted(upstreamError('connection_reset', 'if_idempotent'));
    assert.deepEqual(stream.calls, ['response 200', 'reset connection_reset']);
    assert.match(flagNames(outcomes[0]?.flags ?? 0), /UC/);
  });

  it('cancels the upstream when the downstream goes away', () => {
    const { begin, sent, outcomes } = setUp();
    const { exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestAborted(new MeshError('connection_closed', 'gone', { origin: 'downstream' }));
    assert.deepEqual(sent().stream.calls, ['cancel connection_closed']);
    assert.equal(outcomes[0]?.status, 0);
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'DC');
  });

  it('holds the downstream back while the upstream is full, and the other way round', () => {
    const { begin, sent } = setUp();
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
    const { begin, sent, dials } = setUp({ dialsLater: true });
    const { stream, exchange } = begin(requestHead({ method: 'POST' }), false);
    exchange.onRequestData(Buffer.alloc(70_000));
    assert.deepEqual(stream.calls, ['pause']);
    dials[0]?.();
    assert.equal(sent().stream.calls.length, 1);
    assert.deepEqual(stream.calls, ['pause', 'resume']);
  });

  it('answers 504 UT when the request takes longer than its timeout', () => {
    const { begin, clock, sent, outcomes } = setUp({ requestMs: 500 });
    const { stream } = begin();
    clock.advance(400);
    assert.deepEqual(stream.calls, []);
    clock.advance(400);
    assert.equal(stream.calls[0], 'response 504');
    assert.deepEqual(sent().stream.calls, ['cancel deadline_exceeded']);
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'UT');
  });

  it('bounds a tunnel by its idle time alone once it is open', () => {
    const { clock, begin, sent } = setUp({ requestMs: 500 });
    const { stream } = begin(requestHead({ protocol: 'websocket' }), false);
    sent().receiver.onResponse(responseHead(101), false);
    clock.advance(1_000);
    assert.deepEqual(stream.calls, ['response 101']);
    clock.advance(61_000);
    assert.match(stream.calls.at(-1) ?? '', /reset/);
  });

  it('lets a body flow for longer than the idle time, but not stand still for it', () => {
    const { begin, clock, sent, outcomes } = setUp();
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
    const { begin, outcomes } = setUp();
    begin();
    begin();
    const { stream } = begin();
    assert.equal(stream.calls[0], 'response 503');
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'UO');
  });

  it('answers 503 with retry-after, and tries nobody, while memory is short', () => {
    const { begin, proxy, outcomes, connections, cluster } = setUp();
    proxy.pressure.sheds = true;
    const { stream } = begin();
    assert.equal(stream.calls[0], 'response 503');
    assert.ok(stream.heads[0]?.fields.some(({ name }) => name === 'retry-after'));
    assert.equal(flagNames(outcomes[0]?.flags ?? 0), 'UO');
    assert.deepEqual([connections.length, cluster.active, proxy.pressure.shed], [0, 0, 1]);
  });

  it('lets a connection end with its answer while memory is short, but keeps a link', () => {
    for (const isLink of [false, true]) {
      const { begin, proxy, drains } = setUp({ isLink });
      begin();
      assert.equal(drains.length, 0);
      proxy.pressure.closesConnections = true;
      begin();
      assert.equal(drains.length, isLink ? 0 : 1);
    }
  });

  it('answers a gRPC caller in its own terms', () => {
    const { begin, refuse } = setUp();
    refuse.add('a');
    const { stream } = begin(callWithin('1S'));
    assert.deepEqual(stream.calls, ['response 200 end']);
    assert.equal(grpcStatusOf(stream), '14');
  });

  it("sends nothing whose caller's deadline passed in line, and leaves the connection to others", () => {
    const { begin, sent, dials, clock, cluster, connections, outcomes, proxy } = setUp({ dialsLater: true });
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
    assert.equal(sent().head.fields.find(({ name }) => name === 'grpc-timeout')?.value, '849m');
    sent().receiver.onResponse(responseHead(200), true);
    assert.equal(early.exchange.stage, 'done');
    assert.deepEqual([cluster.active, proxy.metrics.active], [0, 0]);
  });

  it('answers a gRPC caller whose deadline passes in line, and waits no more', () => {
    const { begin, dials, clock, cluster, connections } = setUp({ dialsLater: true });
    const { stream } = begin(callWithin('150m'));
    clock.advance(400);
    assert.equal(grpcStatusOf(stream), '4');
    const lines = [...cluster.hosts].map(({ pool, active }) => [pool.waiting, active]);
    assert.deepEqual(lines, [[0, 0]]);
    dials[0]?.();
    assert.deepEqual(connections[0]?.connection.requests, []);
  });

  it('reads the gRPC status from the trailers', () => {
    const { begin, sent, outcomes } = setUp();
    begin(requestHead({ method: 'POST', fields: [new Field('content-type', 'application/grpc+proto')] }));
    sent().receiver.onResponse(responseHead(200), false);
    sent().receiver.onResponseEnd([new Field('grpc-status', '5')]);
    assert.equal(outcomes[0]?.grpcStatus, 5);
  });
});
