/** What must hold between us and a peer of the same run, and what we aim for. */
import type { Measurement } from './measure.ts';

export interface Budget {
  readonly shape: 'hop' | 'pair';
  readonly peer: 'nginx' | 'envoy';
  readonly connections: number;
  /** Our CPU time per request over the peer's, at most. */
  readonly atMost: number;
  readonly aim: number;
}

export interface Verdict extends Budget {
  readonly ratio: number | undefined;
  readonly outcome: 'kept' | 'missed' | 'not measured';
}

export const budgets: readonly Budget[] = [
  { shape: 'hop', peer: 'nginx', connections: 64, atMost: 1.6, aim: 1.3 },
  { shape: 'pair', peer: 'nginx', connections: 64, atMost: 1.0, aim: 0.75 },
];

/** Only budgets of shapes that were measured at all; a peer that is not installed gives `not measured`. */
export function judge(measurements: readonly Measurement[]): Verdict[] {
  const cpu = (name: string, { shape, connections }: Budget) =>
    measurements.find((m) => m.name === name && m.shape === shape && m.connections === connections)
      ?.cpuUsPerRequest;
  const shapes = new Set(measurements.map((m) => m.shape));
  return budgets
    .filter((budget) => shapes.has(budget.shape))
    .map((budget) => {
      const [ours, theirs] = [cpu('heddle', budget), cpu(budget.peer, budget)];
      if (ours === undefined || theirs === undefined) {
        return { ...budget, ratio: undefined, outcome: 'not measured' };
      }
      const ratio = ours / theirs;
      return { ...budget, ratio, outcome: ratio <= budget.atMost ? 'kept' : 'missed' };
    });
}
