/** One measurement: a load against one contender, its CPU time per request and its memory. */
import { loadCore, type Running, type Shape } from './contenders.ts';
import { costOf } from './cost.ts';
import { runH2load } from './h2load.ts';
import type { Load, LoadName, LoadResult } from './load.ts';
import { runWrk } from './wrk.ts';

export interface Measurement {
  readonly name: string;
  readonly shape: Shape;
  readonly load: LoadName;
  readonly connections: number;
  readonly requestsPerSecond: number;
  readonly cpuUsPerRequest: number;
  /** Undefined where the tool tells none. */
  readonly p50Us: number | undefined;
  readonly p99Us: number | undefined;
  readonly rssBytes: number;
  readonly errors: number;
}

/** Everyone has had each load for so long before its first measurement: compilers have done most of their work by then. */
export const firstWarmUpSeconds = 4;
const warmUpSeconds = 1;

export async function measure(
  who: { readonly name: string; readonly shape: Shape },
  running: Running,
  { load, seconds, folder }: { readonly load: Load; readonly seconds: number; readonly folder: string },
): Promise<Measurement> {
  await runLoad(running.port, load, { seconds: warmUpSeconds, folder });
  const before = costOf(running.pids);
  const result = await runLoad(running.port, load, { seconds, folder });
  const after = costOf(running.pids);
  return {
    name: who.name,
    shape: who.shape,
    load: load.name,
    connections: load.connections,
    requestsPerSecond: (result.requests / result.durationUs) * 1e6,
    cpuUsPerRequest: (after.cpuUs - before.cpuUs) / result.requests,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    rssBytes: after.rssBytes,
    errors: result.errors,
  };
}

export function runLoad(
  port: number,
  { name, path, connections, streams }: Load,
  { seconds, folder }: { readonly seconds: number; readonly folder: string },
): Promise<LoadResult> {
  const target = { port, path, connections, seconds, core: loadCore };
  if (streams === 1) return runWrk(target);
  return runH2load({ ...target, streams, folder, kind: name === 'grpc' ? 'grpc' : 'h2' });
}

/** The round that cost least, because neighbours only ever add; errors of all rounds are kept, for none may be hidden. */
export function leastDisturbed(rounds: readonly Measurement[]): Measurement {
  const sorted = [...rounds].sort((a, b) => a.cpuUsPerRequest - b.cpuUsPerRequest);
  const [chosen] = sorted;
  if (chosen === undefined) throw new Error('no rounds');
  return { ...chosen, errors: rounds.reduce((sum, round) => sum + round.errors, 0) };
}
