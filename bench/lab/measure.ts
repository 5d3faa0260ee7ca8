/** One measurement: wrk against one contender, its CPU time per request and its memory. */
import { loadCore, type Running, type Shape } from './contenders.ts';
import { costOf } from './cost.ts';
import { runWrk } from './wrk.ts';

export interface Measurement {
  readonly name: string;
  readonly shape: Shape;
  readonly connections: number;
  readonly requestsPerSecond: number;
  readonly cpuUsPerRequest: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly rssBytes: number;
  readonly errors: number;
}

const warmUpSeconds = 1;

export async function measure(
  who: { readonly name: string; readonly shape: Shape },
  running: Running,
  load: { readonly connections: number; readonly seconds: number },
): Promise<Measurement> {
  const target = { port: running.port, connections: load.connections, core: loadCore };
  await runWrk({ ...target, seconds: warmUpSeconds });
  const before = costOf(running.pids);
  const result = await runWrk({ ...target, seconds: load.seconds });
  const after = costOf(running.pids);
  return {
    name: who.name,
    shape: who.shape,
    connections: load.connections,
    requestsPerSecond: (result.requests / result.durationUs) * 1e6,
    cpuUsPerRequest: (after.cpuUs - before.cpuUs) / result.requests,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    rssBytes: after.rssBytes,
    errors: result.errors,
  };
}

/** The round in the middle by CPU time; errors of all rounds are kept, for none may be hidden. */
export function middle(rounds: readonly Measurement[]): Measurement {
  const sorted = [...rounds].sort((a, b) => a.cpuUsPerRequest - b.cpuUsPerRequest);
  const chosen = sorted[Math.floor(sorted.length / 2)];
  if (chosen === undefined) throw new Error('no rounds');
  return { ...chosen, errors: rounds.reduce((sum, round) => sum + round.errors, 0) };
}
