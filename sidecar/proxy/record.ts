// hot: once per request.
/** Counts an exchange that has ended, and logs it where somebody wants to read of it. */
import type { Outcome } from '../observe/outcome.ts';
import { httpStatusLike } from './grpc.ts';
import type { ProxyState } from './serve.ts';

export function recordEnd(proxy: ProxyState, series: number, outcome: Outcome, isGrpc: boolean): void {
  const { metrics, accessLog } = proxy;
  const { status, grpcStatus, flags } = outcome;
  metrics.record(series, status, flags, outcome.durationMs);
  metrics.recordBytes(series, outcome.requestBytes, outcome.responseBytes);
  if (isGrpc) metrics.recordGrpc(series, grpcStatus);
  if (accessLog.wants(httpStatusLike(status, grpcStatus), flags)) accessLog.write(outcome);
}
