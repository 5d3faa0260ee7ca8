/** What holds where no TrafficPolicy says otherwise. */
import { type AppProtocol, isOpaque, type Limits, type RetryPolicy, type Timeouts } from './model.ts';

/** Of a caller towards a Service. Requests have no timeout of their own: streams and long polls are requests too. */
export function defaultTimeouts(protocol: AppProtocol): Timeouts {
  // Idle connections of databases are kept by their pools for long; an idle HTTP exchange is a stuck one.
  const idleMs = isOpaque(protocol) ? 3_600_000 : 300_000;
  return { connectMs: 5000, requestMs: 0, idleMs, detectMs: 5000 };
}

/** Towards one Service, for each caller. */
export const defaultLimits: Limits = { maxConnections: 1024, maxRequests: 4096 };

/** At the receiver, for each of its ports. */
export const defaultInboundLimits: Limits = { maxConnections: 16_384, maxRequests: 16_384 };

export const defaultRetry: RetryPolicy = { attempts: 1 };
