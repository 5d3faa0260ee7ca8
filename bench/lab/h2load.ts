/** h2load with one thread on its core, and what it counted: HTTP/2 with prior knowledge, or HTTP/1.1 at a rate. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LoadResult } from './load.ts';

export interface H2loadOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  readonly core: number;
  readonly kind: 'h2' | 'grpc' | 'http1';
  readonly streams: number;
  /** Of all connections together; as many as they can where undefined. */
  readonly requestsPerSecond?: number;
  /** Where a request body may be written. */
  readonly folder: string;
}

const run = promisify(execFile);

export async function runH2load(options: H2loadOptions): Promise<LoadResult> {
  const { connections, seconds, streams, kind } = options;
  const flags = [`-c${connections}`, `-m${streams}`, `-D${seconds}`];
  if (kind === 'http1') flags.push('--h1');
  if (options.requestsPerSecond !== undefined) flags.push(`--rps=${options.requestsPerSecond / connections}`);
  if (kind === 'grpc') {
    const message = join(options.folder, 'message');
    // One uncompressed gRPC message of 64 bytes.
    writeFileSync(message, Buffer.concat([Buffer.from([0, 0, 0, 0, 64]), Buffer.alloc(64, 'x')]));
    flags.push(`-d${message}`, '-Hcontent-type: application/grpc', '-Hte: trailers');
  }
  const url = `http://127.0.0.1:${options.port}${options.path}`;
  const { stdout } = await run('taskset', ['-c', String(options.core), 'h2load', ...flags, url]);
  const [, done = '0', failed = '0'] = /(\d+) done, \d+ succeeded, (\d+) failed/.exec(stdout) ?? [];
  const [, ok = '0'] = /status codes: (\d+) 2xx/.exec(stdout) ?? [];
  if (Number(done) === 0) throw new Error(`h2load got no answer: ${stdout}`);
  // It tells no percentiles.
  const [p50Us, p99Us] = [undefined, undefined];
  // Answers under way at the end are counted in one and not in the other.
  const errors = Number(failed) + Math.max(0, Number(done) - Number(ok));
  return { requests: Number(done), durationUs: seconds * 1e6, p50Us, p99Us, errors };
}
