/**
 * The metrics page in Prometheus' text format. prom-client is loaded at the first scrape and filled from the
 * typed arrays; its label handling never sees a request.
 */
import type { Registry as PromRegistry } from 'prom-client';
import { flagNames } from './flags.ts';
import {
  durationBoundsMs,
  grpcCodes,
  type MetricsReading,
  metricNames,
  type RequestLabels,
} from './metrics.ts';

export interface Gauges {
  readonly pid: number;
  readonly configVersion: number;
  readonly certificateExpirySeconds: number;
  readonly accessLogDropped: number;
  /** 0 normal, 1 closing, 2 shrinking, 3 shedding. */
  readonly overloadLevel: number;
  readonly memoryUsedBytes: number;
  readonly memoryLimitBytes: number;
  readonly requestsShed: number;
  readonly connectionsOpen: { readonly downstream: number; readonly upstream: number };
  readonly connectionsDropped: number;
  readonly dialsRefused: number;
  /** Worker processes that ended unasked; each was replaced. */
  readonly workersEnded: number;
}

/** The gauges of several workers as those of one sidecar: sums, the oldest version, the first expiry. */
export function joinGauges(pid: number, all: readonly Gauges[]): Gauges {
  const total = (of: (gauges: Gauges) => number) => all.reduce((sum, gauges) => sum + of(gauges), 0);
  const least = (of: (gauges: Gauges) => number) => Math.min(...all.map(of));
  return {
    pid,
    configVersion: least(({ configVersion }) => configVersion),
    certificateExpirySeconds: least(({ certificateExpirySeconds }) => certificateExpirySeconds),
    accessLogDropped: total(({ accessLogDropped }) => accessLogDropped),
    overloadLevel: Math.max(...all.map(({ overloadLevel }) => overloadLevel)),
    memoryUsedBytes: total(({ memoryUsedBytes }) => memoryUsedBytes),
    memoryLimitBytes: total(({ memoryLimitBytes }) => memoryLimitBytes),
    requestsShed: total(({ requestsShed }) => requestsShed),
    connectionsOpen: {
      downstream: total(({ connectionsOpen }) => connectionsOpen.downstream),
      upstream: total(({ connectionsOpen }) => connectionsOpen.upstream),
    },
    connectionsDropped: total(({ connectionsDropped }) => connectionsDropped),
    dialsRefused: total(({ dialsRefused }) => dialsRefused),
    workersEnded: total(({ workersEnded }) => workersEnded),
  };
}

export interface Page {
  readonly contentType: string;
  readonly body: string;
}

const labelNames = ['direction', 'destination', 'port', 'source', 'route', 'protocol', 'mtls'] as const;
const statusClassNames = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'];

/** The page for one scrape. */
export async function renderMetrics(metrics: MetricsReading, gauges: Gauges): Promise<Page> {
  const { Registry, Counter, Gauge } = await import('prom-client');
  const registry: PromRegistry = new Registry();
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    new Counter({ name, help, labelNames: [...labels], registers: [registry] });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] });

  const requests = counter(metricNames.requests, 'Requests ended, by status class', [...labelNames, 'code']);
  const grpcRequests = counter(metricNames.grpcRequests, 'gRPC requests ended, by status', [
    ...labelNames,
    'grpc_code',
  ]);
  const requestBytes = counter(metricNames.requestBytes, 'Body bytes of requests', labelNames);
  const responseBytes = counter(metricNames.responseBytes, 'Body bytes of responses', labelNames);
  for (const series of metrics.series) {
    const labels = labelsOf(series.labels);
    series.byStatusClass.forEach((count, at) => {
      if (count > 0) requests.inc({ ...labels, code: statusClassNames[at] as string }, count);
    });
    series.byGrpcCode.forEach((count, at) => {
      if (count > 0) grpcRequests.inc({ ...labels, grpc_code: grpcCodes[at] as string }, count);
    });
    requestBytes.inc(labels, series.requestBytes);
    responseBytes.inc(labels, series.responseBytes);
  }
  const flags = counter(metricNames.flags, 'Requests ended with a response flag', ['flag']);
  metrics.flagCounts.forEach((count, bit) => {
    if (count > 0) flags.inc({ flag: flagNames(1 << bit) }, count);
  });
  gauge(metricNames.active, 'Requests in progress').set(metrics.active);
  counter(metricNames.connections, 'Downstream connections accepted').inc(metrics.accepted);
  counter(metricNames.refused, 'Messages refused before they were a request').inc(metrics.refused);
  counter(metricNames.floods, 'Connections cut off for a flood').inc(metrics.floods);
  counter(metricNames.logDropped, 'Access log lines dropped').inc(gauges.accessLogDropped);
  counter(metricNames.configRejected, 'Snapshots refused').inc(metrics.configRejected);
  gauge(metricNames.pid, 'The process that answers').set(gauges.pid);
  gauge(metricNames.configVersion, 'Revision of the active snapshot').set(gauges.configVersion);
  gauge(metricNames.certificateExpiry, 'When the certificate ends, in seconds since 1970').set(
    gauges.certificateExpirySeconds,
  );
  gauge(metricNames.overloadLevel, '0 normal, 1 closing, 2 shrinking, 3 shedding').set(gauges.overloadLevel);
  gauge(metricNames.memoryUsed, 'Memory in use').set(gauges.memoryUsedBytes);
  gauge(metricNames.memoryLimit, 'Memory that may be used').set(gauges.memoryLimitBytes);
  counter(metricNames.shed, 'Requests answered 503 for want of memory').inc(gauges.requestsShed);
  const open = new Gauge({
    name: metricNames.connectionsOpen,
    help: 'Connections that hold a descriptor',
    labelNames: ['side'],
    registers: [registry],
  });
  open.set({ side: 'downstream' }, gauges.connectionsOpen.downstream);
  open.set({ side: 'upstream' }, gauges.connectionsOpen.upstream);
  counter(metricNames.connectionsDropped, 'Connections dropped for want of descriptors').inc(
    gauges.connectionsDropped,
  );
  counter(metricNames.dialsRefused, 'Connections not made for want of descriptors').inc(gauges.dialsRefused);
  counter(metricNames.workersEnded, 'Workers that ended unasked and were replaced').inc(gauges.workersEnded);
  return { contentType: registry.contentType, body: `${await registry.metrics()}${durationText(metrics)}` };
}

/** prom-client cannot take a ready histogram, so its few lines are written here. */
function durationText(metrics: MetricsReading): string {
  const name = metricNames.duration;
  const lines = [
    `# HELP ${name} From a request's first byte to its response's last`,
    `# TYPE ${name} histogram`,
  ];
  for (const series of metrics.series) {
    const labels = Object.entries(labelsOf(series.labels))
      .map(([key, value]) => `${key}="${escapeLabel(value)}"`)
      .join(',');
    let sum = 0;
    series.buckets.forEach((count, at) => {
      sum += count;
      lines.push(`${name}_bucket{${labels},le="${durationBoundsMs[at] ?? '+Inf'}"} ${sum}`);
    });
    lines.push(`${name}_sum{${labels}} ${series.durationSumMs}`, `${name}_count{${labels}} ${sum}`);
  }
  return `\n${lines.join('\n')}\n`;
}

function labelsOf(labels: RequestLabels): Record<(typeof labelNames)[number], string> {
  return { ...labels, port: String(labels.port) };
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
