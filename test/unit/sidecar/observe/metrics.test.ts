import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { renderMetrics } from '../../../../sidecar/observe/exposition.ts';
import { flag } from '../../../../sidecar/observe/flags.ts';
import { Metrics, type RequestLabels, sumReadings } from '../../../../sidecar/observe/metrics.ts';

const labels: RequestLabels = {
  direction: 'outbound',
  destination: 'shop/orders',
  port: 80,
  source: 'spiffe://mesh/ns/shop/sa/web',
  route: 'HTTPRoute shop/orders #0',
  protocol: 'http',
  mtls: 'yes',
};
const gauges = {
  pid: 1,
  configVersion: 7,
  certificateExpirySeconds: 1_800_000_000,
  accessLogDropped: 3,
  overloadLevel: 2,
  memoryUsedBytes: 90,
  memoryLimitBytes: 100,
  requestsShed: 4,
  connectionsOpen: { downstream: 5, upstream: 6 },
  connectionsDropped: 7,
  dialsRefused: 8,
  workersEnded: 9,
};

describe('metrics', () => {
  it('counts requests by status class under their labels', async () => {
    const metrics = new Metrics();
    const id = metrics.series(labels);
    metrics.record(id, 200, 0, 3);
    metrics.record(id, 204, 0, 3);
    metrics.record(id, 503, flag.noHealthyUpstream, 3);
    metrics.record(id, 0, flag.downstreamClosed, 3);
    const { body } = await renderMetrics(metrics.reading(), gauges);
    const line = (code: string) =>
      body
        .split('\n')
        .find((one) => one.startsWith('heddle_requests_total') && one.includes(`code="${code}"`));
    assert.match(line('2xx') ?? '', / 2$/);
    assert.match(line('5xx') ?? '', / 1$/);
    assert.match(line('none') ?? '', / 1$/);
    assert.match(line('2xx') ?? '', /destination="shop\/orders"/);
    assert.match(body, /heddle_response_flags_total\{flag="UH"\} 1/);
  });

  it('counts gRPC requests by status, and never by more names than there are', async () => {
    const metrics = new Metrics();
    const id = metrics.series({ ...labels, protocol: 'grpc' });
    for (const code of [0, 0, 5, 16, 17, 99_999, -1, undefined]) metrics.recordGrpc(id, code);
    const { body } = await renderMetrics(sumReadings([metrics.reading(), metrics.reading()]), gauges);
    const counts = [...body.matchAll(/^heddle_grpc_requests_total\{.*grpc_code="(\w+)".*\} (\d+)$/gm)];
    assert.deepEqual(Object.fromEntries(counts.map(([, code, count]) => [code, Number(count)])), {
      OK: 4,
      NOT_FOUND: 2,
      UNAUTHENTICATED: 2,
      other: 6,
      none: 2,
    });
  });

  it('gives the same labels the same series and others another', () => {
    const metrics = new Metrics();
    assert.equal(metrics.series(labels), metrics.series({ ...labels }));
    assert.notEqual(metrics.series(labels), metrics.series({ ...labels, port: 81 }));
  });

  it('shows durations as a cumulative histogram', async () => {
    const metrics = new Metrics();
    const id = metrics.series(labels);
    for (const ms of [0.2, 3, 3, 70_000]) metrics.record(id, 200, 0, ms);
    const { body } = await renderMetrics(metrics.reading(), gauges);
    const bucket = (le: string) =>
      body
        .split('\n')
        .find(
          (one) =>
            one.startsWith('heddle_request_duration_milliseconds_bucket') && one.includes(`le="${le}"`),
        );
    assert.match(bucket('0.5') ?? '', / 1$/);
    assert.match(bucket('5') ?? '', / 3$/);
    assert.match(bucket('60000') ?? '', / 3$/);
    assert.match(bucket('+Inf') ?? '', / 4$/);
    assert.match(body, /heddle_request_duration_milliseconds_count\{[^}]*\} 4/);
  });

  it('shows what overload and descriptors stand at', async () => {
    const { body } = await renderMetrics(new Metrics().reading(), gauges);
    for (const line of [
      'heddle_overload_level 2',
      'heddle_memory_used_bytes 90',
      'heddle_memory_limit_bytes 100',
      'heddle_requests_shed_total 4',
      'heddle_connections_open{side="downstream"} 5',
      'heddle_connections_open{side="upstream"} 6',
      'heddle_connections_dropped_total 7',
      'heddle_dials_refused_total 8',
      'heddle_workers_ended_total 9',
    ]) {
      assert.ok(body.includes(`\n${line}\n`), line);
    }
  });

  it('shares the last series when there are too many label sets', () => {
    const metrics = new Metrics();
    const ids = new Set<number>();
    for (let port = 0; port < 5_000; port++) ids.add(metrics.series({ ...labels, port }));
    assert.equal(ids.size, 4_096);
  });

  it('sums what several workers counted, by labels', () => {
    const [a, b] = [new Metrics(), new Metrics()];
    a.record(a.series(labels), 200, 0, 3);
    b.series({ ...labels, port: 81 });
    b.record(b.series(labels), 503, flag.noHealthyUpstream, 300);
    b.recordBytes(b.series(labels), 5, 7);
    b.active = 2;
    const sum = sumReadings([a.reading(), b.reading()]);
    const one = sum.series.find((series) => series.labels.port === 80);
    assert.equal(sum.series.length, 2);
    assert.deepEqual([one?.byStatusClass[2], one?.byStatusClass[5], one?.responseBytes], [1, 1, 7]);
    assert.equal(
      one?.buckets.reduce((total, count) => total + count, 0),
      2,
    );
    assert.equal(sum.active, 2);
  });
});
