/** The result as a Markdown page for people and as JSON for comparing runs. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import type { Verdict } from './budgets.ts';
import type { Measurement } from './measure.ts';

export interface Report {
  readonly at: string;
  readonly secondsPerRound: number;
  readonly rounds: number;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly measurements: readonly Measurement[];
  readonly verdicts: readonly Verdict[];
}

export function machine(): string {
  const [first, ...rest] = cpus();
  return `${rest.length + 1} × ${first?.model ?? 'unknown'}, kernel ${release()}`;
}

/** What a program answers when asked for its version: its first number with dots. */
export function versionOf(command: string, flag: string): string {
  try {
    const answer = execFileSync('sh', ['-c', `"$0" ${flag} 2>&1`, command], { encoding: 'utf8' });
    return /\d+(?:\.\d+)+/.exec(answer)?.[0] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

export function tableOf(measurements: readonly Measurement[]): string {
  const rows = measurements.map(
    (m) =>
      `| ${m.shape} | ${m.load} | ${m.connections} | ${m.name} | ${m.cpuUsPerRequest.toFixed(1)} | ${Math.round(m.requestsPerSecond)} | ${m.p50Us ?? ''} | ${m.p99Us ?? ''} | ${(m.rssBytes / 2 ** 20).toFixed(0)} | ${m.errors} |`,
  );
  return [
    '| shape | load | connections | who | CPU µs/request | requests/s | p50 µs | p99 µs | RSS MiB | errors |',
    '|---|---|---:|---|---:|---:|---:|---:|---:|---:|',
    ...rows,
  ].join('\n');
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(
    (v) => `| ${v.what} | ${v.measured} | ${v.atMost} | ${v.aim} | **${v.outcome}** |`,
  );
  return ['| what | measured | at most | aim | verdict |', '|---|---:|---:|---:|---|', ...rows].join('\n');
}

/** Writes `NAME.md` and `NAME.json` into `folder` and returns their path without the ending. */
export function writeReport(folder: string, report: Report): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `peers-${report.at.slice(0, 16).replaceAll(/[:T]/g, '-')}`);
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`);
  const page = [
    '# Heddle beside its peers',
    `${report.at} · ${report.machine} · ${versions.join(', ')}`,
    `Proxies on one core, wrk and the backend on another, bodies of about 100 bytes, 16 KiB or 1 MiB; the least disturbed of ${report.rounds} rounds of ${report.secondsPerRound} s each, everyone warm. h2 and grpc: 16 connections of 16 streams, to an HTTP/1.1 and an HTTP/2 backend. A pair's figures are both proxies' together. Compare within this table only.`,
    tableOf(report.measurements),
    '## Budgets',
    verdictTable(report.verdicts),
  ];
  writeFileSync(`${path}.md`, `${page.join('\n\n')}\n`);
  writeFileSync(`${path}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
  return path;
}
