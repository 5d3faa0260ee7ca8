/** wrk with one thread on its core, and what it counted. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LoadResult } from './load.ts';

export interface WrkOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  readonly core: number;
}

const run = promisify(execFile);

export async function runWrk({ port, path, connections, seconds, core }: WrkOptions): Promise<LoadResult> {
  const { stdout } = await run('taskset', [
    ...['-c', String(core), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`],
    ...['-s', join(import.meta.dirname, 'report.lua'), `http://127.0.0.1:${port}${path}`],
  ]);
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(`wrk printed no result: ${stdout}`);
  return JSON.parse(line) as LoadResult;
}
