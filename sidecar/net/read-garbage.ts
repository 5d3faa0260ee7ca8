// hot: every large read.
/**
 * Bodies pass through buffers outside the heap. V8 sees the few bytes by which an object of the heap holds each, so it
 * lets a hundred megabytes of them wait for its next collection: memory that is cold when it is used again, and enough
 * to make it collect everything. So the young generation is collected after every so many bytes read, which takes about
 * a millisecond (docs/adr/0017-what-the-path-costs.md).
 */
import { collectGarbage } from '../../kit/collector.ts';

/** Bytes of read buffers that may wait. */
export const maxReadGarbageBytes = 32 * 1024 * 1024;

const young = { type: 'minor', execution: 'sync' } as const;
let garbageBytes = 0;

/** A buffer of `bytes` was made for what a socket read. */
export function noteReadBuffer(bytes: number): void {
  garbageBytes += bytes;
  if (garbageBytes < maxReadGarbageBytes) return;
  garbageBytes = 0;
  collectGarbage(young);
}
