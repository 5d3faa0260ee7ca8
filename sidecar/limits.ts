/** Where each limit that may be set is kept, and how a sidecar takes an operator's numbers: once, before it begins. */
import type { LimitName, LimitSettings } from '../mesh/limits.ts';
import { poolLimits } from './cluster/reach.ts';
import { subsetLimits } from './cluster/subset.ts';
import { limits as http1 } from './codec/http1/limits.ts';
import { limits as http2 } from './codec/http2/limits.ts';
import { callerLimits } from './entrances.ts';
import { connectionLimits } from './net/connection-limits.ts';
import { detectionLimits } from './net/detect.ts';
import { handshakeLimits } from './net/tls-accept.ts';
import { requestLimits } from './proxy/body-bound.ts';
import { retryLimits } from './proxy/retry.ts';

/** A table of limits: numbers, and rates with figures of their own. */
interface Table {
  [name: string]: number | Table;
}

/** By the first part of their names. */
const tables: Table = {
  http1,
  http2,
  handshakes: handshakeLimits,
  detection: detectionLimits,
  callers: callerLimits,
  pools: poolLimits,
  links: subsetLimits,
  requests: requestLimits,
  retries: retryLimits,
  connections: connectionLimits,
};

/** Puts these numbers in the place of the defaults, for the whole process. */
export function setLimits(settings: LimitSettings): void {
  for (const [name, value] of Object.entries(settings)) {
    const { table, key } = find(name as LimitName);
    table[key] = value;
  }
}

/** What a limit is now. */
export function limitNow(name: LimitName): number {
  const { table, key } = find(name);
  return table[key] as number;
}

function find(name: LimitName): { readonly table: Table; readonly key: string } {
  const path = name.split('.');
  const key = path.pop() ?? '';
  let table = tables;
  for (const part of path) table = table[part] as Table;
  if (typeof table?.[key] !== 'number') throw new Error(`no limit ${name}`);
  return { table, key };
}
