/** wrk with one thread on its core, and what it counted. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface WrkResult {
  readonly requests: number;
  readonly durationUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Connections, reads, writes and statuses that failed. */
  readonly errors: number;
}

export interface WrkOptions {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  readonly core: number;
}

const run = promisify(execFile);

export async function runWrk({ port, connections, seconds, core }: WrkOptions): Promise<WrkResult> {
  const { stdout } = await run('taskset', [
    ...['-c', String(core), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`],
    ...['-s', join(import.meta.dirname, 'report.lua'), `http://127.0.0.1:${port}/some/path`],
  ]);
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(`wrk printed no result: ${stdout}`);
  return JSON.parse(line) as WrkResult;
}
