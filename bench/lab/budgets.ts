/** What must hold between us and a peer of the same run, and what we aim for. */
import type { LoadName } from './load.ts';
import type { Measurement } from './measure.ts';

/** Ours over the peer's, in one figure under one load. */
interface RatioBudget {
  readonly shape: 'hop' | 'pair';
  readonly load: LoadName;
  readonly connections: number;
  readonly figure: 'cpuUsPerRequest' | 'p50Us';
  readonly peer: 'nginx' | 'envoy';
  readonly atMost: number;
  readonly aim: number;
}

/** A figure of ours alone, or between runs of ours. */
export interface OwnFigure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost: number;
  readonly aim: number;
}

export interface Verdict {
  readonly what: string;
  readonly measured: string;
  readonly atMost: number;
  readonly aim: number;
  readonly outcome: 'kept' | 'missed' | 'not measured';
}

const cpu = { figure: 'cpuUsPerRequest' } as const;
const hop = { shape: 'hop', load: 'small', ...cpu } as const;
const pair = { shape: 'pair', load: 'small', ...cpu } as const;
const h2 = { shape: 'pair', connections: 16, ...cpu, peer: 'envoy', atMost: 0.5, aim: 0.5 } as const;
const large = { shape: 'pair', load: '1m', connections: 8, ...cpu } as const;

const ratioBudgets: readonly RatioBudget[] = [
  { ...hop, connections: 64, peer: 'nginx', atMost: 1.3, aim: 1.1 },
  { ...hop, connections: 64, peer: 'envoy', atMost: 0.5, aim: 0.5 },
  { ...pair, connections: 64, peer: 'nginx', atMost: 0.75, aim: 0.6 },
  { ...pair, connections: 64, peer: 'envoy', atMost: 0.38, aim: 0.3 },
  { ...pair, connections: 256, peer: 'nginx', atMost: 0.65, aim: 0.65 },
  { ...pair, connections: 256, peer: 'envoy', atMost: 0.32, aim: 0.32 },
  { ...pair, connections: 1, figure: 'p50Us', peer: 'envoy', atMost: 0.7, aim: 0.7 },
  { ...pair, connections: 1, peer: 'envoy', atMost: 0.55, aim: 0.55 },
  { ...h2, load: 'h2' },
  { ...h2, load: 'grpc' },
  { ...large, peer: 'nginx', atMost: 1.0, aim: 1.0 },
  { ...large, peer: 'envoy', atMost: 1.35, aim: 1.0 },
];

/** Only budgets of loads that were measured at all; a peer that is not installed gives `not measured`. */
export function judge(measurements: readonly Measurement[], own: readonly OwnFigure[]): Verdict[] {
  return [...ratioBudgets.flatMap((budget) => judgeRatio(budget, measurements)), ...own.map(judgeOwn)];
}

function judgeRatio(budget: RatioBudget, measurements: readonly Measurement[]): Verdict[] {
  const { shape, load, connections, figure, peer, atMost, aim } = budget;
  const rows = measurements.filter(
    (m) => m.shape === shape && m.load === load && m.connections === connections,
  );
  if (rows.length === 0) return [];
  const [ours, theirs] = ['heddle', peer].map((name) => rows.find((row) => row.name === name)?.[figure]);
  const unit = figure === 'p50Us' ? 'p50' : 'CPU per request';
  const what = `${shape}, ${load}, ${connections} connections: ${unit} over ${peer}`;
  if (ours === undefined || theirs === undefined) {
    return [{ what, measured: '', atMost, aim, outcome: 'not measured' }];
  }
  const ratio = ours / theirs;
  return [{ what, measured: ratio.toFixed(2), atMost, aim, outcome: ratio <= atMost ? 'kept' : 'missed' }];
}

function judgeOwn({ what, value, unit, atMost, aim }: OwnFigure): Verdict {
  const measured = `${value.toFixed(unit === 'MiB' ? 0 : 2)}${unit === '' ? '' : ` ${unit}`}`;
  return { what, measured, atMost, aim, outcome: value <= atMost ? 'kept' : 'missed' };
}
