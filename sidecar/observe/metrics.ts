// hot: `record` runs once per request and only adds to typed arrays.
/**
 * All metrics of the sidecar: their names, their label sets, and the numbers.
 *
 * A series is an integer; its numbers stand in one Float64Array row. Names and labels are put together
 * only when somebody scrapes (`exposition.ts`).
 *
 *   row: [ 0…5 requests by status class | request bytes | response bytes | duration sum | buckets … | gRPC codes … ]
 */
export interface RequestLabels {
  readonly direction: 'inbound' | 'outbound';
  /** `NAMESPACE/NAME` of the service called, or of the workload itself inbound. */
  readonly destination: string;
  readonly port: number;
  /** SPIFFE name of the caller; the sidecar's own outbound, `unknown` on plaintext. */
  readonly source: string;
  readonly route: string;
  readonly protocol: string;
  readonly mtls: 'yes' | 'no';
}

/** Upper bounds in ms; the last bucket has none. */
export const durationBoundsMs: readonly number[] = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
];

export const metricNames = {
  requests: 'heddle_requests_total',
  grpcRequests: 'heddle_grpc_requests_total',
  requestBytes: 'heddle_request_bytes_total',
  responseBytes: 'heddle_response_bytes_total',
  duration: 'heddle_request_duration_milliseconds',
  flags: 'heddle_response_flags_total',
  active: 'heddle_requests_active',
  connections: 'heddle_connections_total',
  refused: 'heddle_requests_refused_total',
  floods: 'heddle_floods_total',
  logDropped: 'heddle_access_log_dropped_total',
  pid: 'heddle_process_pid',
  configVersion: 'heddle_config_version',
  configRejected: 'heddle_config_rejected_total',
  certificateExpiry: 'heddle_certificate_expiry_seconds',
  overloadLevel: 'heddle_overload_level',
  memoryUsed: 'heddle_memory_used_bytes',
  memoryLimit: 'heddle_memory_limit_bytes',
  shed: 'heddle_requests_shed_total',
  connectionsOpen: 'heddle_connections_open',
  connectionsDropped: 'heddle_connections_dropped_total',
  dialsRefused: 'heddle_dials_refused_total',
  workersEnded: 'heddle_workers_ended_total',
} as const;

const statusClasses = 6;
const requestBytesAt = statusClasses;
const responseBytesAt = statusClasses + 1;
const durationSumAt = statusClasses + 2;
const bucketsAt = statusClasses + 3;
const grpcAt = bucketsAt + durationBoundsMs.length + 1;
/** 0–16 as they are named by gRPC; then other numbers, and replies that ended without a status. */
export const grpcCodes: readonly string[] = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
  'other',
  'none',
];
const otherCode = 17;
const noCode = 18;
const rowSize = grpcAt + grpcCodes.length;

/** Further label sets share the last series, so that hostile labels cannot grow memory. */
const maxSeries = 4096;
const flagBits = 17;

export class Metrics {
  #rows = new Float64Array(64 * rowSize);
  readonly #labels: RequestLabels[] = [];
  readonly #idByKey = new Map<string, number>();
  readonly flagCounts: Float64Array = new Float64Array(flagBits);
  active = 0;
  accepted = 0;
  /** Requests that have ended. */
  ended = 0;
  refused = 0;
  /** Connections that were cut off, for they cost more than they brought. */
  floods = 0;
  configRejected = 0;

  /** The id of the series with these labels; made where it is new. Not for the path: keep the id. */
  series(labels: RequestLabels): number {
    const key = JSON.stringify(labels);
    const known = this.#idByKey.get(key);
    if (known !== undefined) return known;
    if (this.#labels.length >= maxSeries) return maxSeries - 1;
    const id = this.#labels.push(labels) - 1;
    this.#idByKey.set(key, id);
    if ((id + 1) * rowSize > this.#rows.length) {
      const grown = new Float64Array(this.#rows.length * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    return id;
  }

  /** `status` is 0 where no response was sent. */
  record(id: number, status: number, flags: number, durationMs: number): void {
    this.ended++;
    const rows = this.#rows;
    const at = id * rowSize;
    const statusClass = at + (status >= 100 && status < 600 ? (status / 100) | 0 : 0);
    rows[statusClass] = (rows[statusClass] as number) + 1;
    rows[at + durationSumAt] = (rows[at + durationSumAt] as number) + durationMs;
    let bucket = 0;
    while (bucket < durationBoundsMs.length && durationMs > (durationBoundsMs[bucket] as number)) bucket++;
    const bucketAt = at + bucketsAt + bucket;
    rows[bucketAt] = (rows[bucketAt] as number) + 1;
    if (flags !== 0) this.#countFlags(flags);
  }

  recordBytes(id: number, requestBytes: number, responseBytes: number): void {
    const rows = this.#rows;
    const at = id * rowSize;
    rows[at + requestBytesAt] = (rows[at + requestBytesAt] as number) + requestBytes;
    rows[at + responseBytesAt] = (rows[at + responseBytesAt] as number) + responseBytes;
  }

  /** Of a gRPC request; `code` is undefined where its reply had no status. */
  recordGrpc(id: number, code: number | undefined): void {
    const rows = this.#rows;
    const known = code === undefined ? noCode : code >= 0 && code < otherCode ? code : otherCode;
    const at = id * rowSize + grpcAt + known;
    rows[at] = (rows[at] as number) + 1;
  }

  /** All numbers as they are now, on their own: they may be kept and sent. */
  reading(): MetricsReading {
    return {
      series: this.#labels.map((labels, id) => {
        const row = this.#rows.subarray(id * rowSize, (id + 1) * rowSize);
        return {
          labels,
          byStatusClass: [...row.subarray(0, statusClasses)],
          requestBytes: row[requestBytesAt] as number,
          responseBytes: row[responseBytesAt] as number,
          durationSumMs: row[durationSumAt] as number,
          buckets: [...row.subarray(bucketsAt, grpcAt)],
          byGrpcCode: labels.protocol === 'grpc' ? [...row.subarray(grpcAt)] : [],
        };
      }),
      flagCounts: [...this.flagCounts],
      active: this.active,
      accepted: this.accepted,
      refused: this.refused,
      floods: this.floods,
      configRejected: this.configRejected,
    };
  }

  #countFlags(flags: number): void {
    for (let left = flags; left !== 0; left &= left - 1) {
      const bit = 31 - Math.clz32(left & -left);
      this.flagCounts[bit] = (this.flagCounts[bit] as number) + 1;
    }
  }
}

export interface MetricsReading {
  readonly series: readonly SeriesReading[];
  /** By bit of `flags.ts`. */
  readonly flagCounts: readonly number[];
  readonly active: number;
  readonly accepted: number;
  readonly refused: number;
  readonly floods: number;
  readonly configRejected: number;
}

export interface SeriesReading {
  readonly labels: RequestLabels;
  /** Index 0: ended without a status; 1–5: 1xx–5xx. */
  readonly byStatusClass: readonly number[];
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationSumMs: number;
  /** Not cumulative; one more than `durationBoundsMs`. */
  readonly buckets: readonly number[];
  /** By the order of `grpcCodes`; empty where the series is not of gRPC. */
  readonly byGrpcCode: readonly number[];
}

/** The sum of what several workers counted. */
export function sumReadings(readings: readonly MetricsReading[]): MetricsReading {
  const byKey = new Map<string, SeriesReading>();
  for (const { series } of readings) {
    for (const one of series) {
      const key = JSON.stringify(one.labels);
      const known = byKey.get(key);
      byKey.set(key, known === undefined ? one : sumSeries(known, one));
    }
  }
  const total = (of: (reading: MetricsReading) => number) =>
    readings.reduce((sum, reading) => sum + of(reading), 0);
  return {
    series: [...byKey.values()],
    flagCounts: Array.from({ length: flagBits }, (_, bit) => total(({ flagCounts }) => flagCounts[bit] ?? 0)),
    active: total(({ active }) => active),
    accepted: total(({ accepted }) => accepted),
    refused: total(({ refused }) => refused),
    floods: total(({ floods }) => floods),
    configRejected: total(({ configRejected }) => configRejected),
  };
}

function sumSeries(a: SeriesReading, b: SeriesReading): SeriesReading {
  const each = (left: readonly number[], right: readonly number[]) =>
    left.map((count, at) => count + (right[at] ?? 0));
  return {
    labels: a.labels,
    byStatusClass: each(a.byStatusClass, b.byStatusClass),
    requestBytes: a.requestBytes + b.requestBytes,
    responseBytes: a.responseBytes + b.responseBytes,
    durationSumMs: a.durationSumMs + b.durationSumMs,
    buckets: each(a.buckets, b.buckets),
    byGrpcCode: each(a.byGrpcCode, b.byGrpcCode),
  };
}
