/** The loads under which everyone is compared. */
import type { Shape } from './contenders.ts';

export interface LoadResult {
  readonly requests: number;
  readonly durationUs: number;
  /** Undefined where the tool tells none. */
  readonly p50Us: number | undefined;
  readonly p99Us: number | undefined;
  /** Connections, reads, writes and statuses that failed. */
  readonly errors: number;
}

export type LoadName = 'small' | '16k' | '1m' | 'h2' | 'grpc';

export interface Load {
  readonly name: LoadName;
  readonly path: string;
  readonly connections: number;
  /** On each connection at once; with more than one the tool is h2load, else wrk. */
  readonly streams: number;
  readonly upstream: 'http1' | 'h2';
  readonly shapes: readonly Shape[];
}

/** Bodies of the backend that are files, by name and size. */
export const bodies = { '16k': 16 * 1024, '1m': 1024 * 1024 } as const;

const both: readonly Shape[] = ['hop', 'pair'];

/** Small ones at each number of connections; then, where all are asked for, larger ones and HTTP/2. */
export function loads(connections: readonly number[], all: boolean): Load[] {
  const http1 = { streams: 1, upstream: 'http1', shapes: both } as const;
  const small = connections.map((count) => ({
    ...{ name: 'small', path: '/some/path', ...http1, connections: count },
  })) satisfies Load[];
  if (!all) return small;
  const h2 = { path: '/some/path', connections: 16, streams: 16, shapes: both } as const;
  return [
    ...small,
    { name: '16k', path: '/bodies/16k', ...http1, connections: 64 },
    { name: '1m', path: '/bodies/1m', ...http1, connections: 8 },
    { name: 'h2', ...h2, upstream: 'http1' },
    { name: 'grpc', ...h2, upstream: 'h2' },
  ];
}
