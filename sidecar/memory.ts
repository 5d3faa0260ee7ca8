/** How much memory this process may use, how much it does, and how it gives some back. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { collectGarbage } from '../kit/collector.ts';
import { MeshError } from '../kit/errors.ts';

/** Where neither the operator nor a control group says less. */
const defaultLimitBytes = 1024 ** 3;
/** Below this a sidecar would shed from its start. */
const leastLimitBytes = 64 * 1024 ** 2;
/** What each of many workers gets by default, where the machine has it. */
const workerShareBytes = 128 * 1024 ** 2;
const units: Readonly<Record<string, number>> = { '': 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** Reads `256Mi`, `1Gi` or plain bytes; throws a MeshError that says what is allowed. */
export function parseMemorySize(text: string): number {
  const match = /^(\d{1,15})(Ki|Mi|Gi)?$/.exec(text);
  const bytes = match === null ? 0 : Number(match[1]) * (units[match[2] ?? ''] as number);
  if (bytes >= leastLimitBytes && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  const message = `'${text}' is no memory limit: say bytes or a number with Ki, Mi or Gi, at least 64Mi`;
  throw new MeshError('invalid', message, { origin: 'local' });
}

/**
 * The limit where none was asked for: the control group's (v1 or v2), the machine's, at most 1 GiB, or more for so many
 * workers that each could do little with its share of that.
 */
export function defaultMemoryLimit(workers = 1): number {
  const constrained = process.constrainedMemory();
  const group = constrained > 0 ? constrained : Number.POSITIVE_INFINITY;
  const most = Math.max(defaultLimitBytes, workers * workerShareBytes);
  return Math.max(leastLimitBytes, Math.min(group, totalmem(), most));
}

/** Throws a MeshError where a worker's share of the limit is too small to run in. */
export function requireShares(limitBytes: number, workers: number): void {
  if (limitBytes / workers >= leastLimitBytes) return;
  const least = `${(workers * leastLimitBytes) / 1024 ** 2}Mi`;
  const message = `${workers} workers need a memory limit of at least ${least}, for each has its share of it`;
  throw new MeshError('invalid', message, { origin: 'local' });
}

/** What counts against the limit: resident pages, or what was asked for but not touched yet, if that is more. */
export function usedMemory(): number {
  const { rss, heapUsed, external } = process.memoryUsage();
  return Math.max(rss, heapUsed + external);
}

/** Where memory goes, for whoever looks at the admin page: objects, and buffers outside the heap. */
export function memoryParts() {
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { residentBytes: rss, heapBytes: heapUsed, bufferBytes: arrayBuffers };
}

/**
 * Collects the garbage that V8 would leave for later, and gives freed pages back to the system: V8 and the C
 * library keep both after a burst, and a process that stays at its limit would shed for ever.
 */
export function releaseMemory(): void {
  // The thorough kind, which also gives the room of the young generation back.
  collect('last-resort');
  library ??= findLibrary();
  for (const { start, size } of mappedCode()) library.forget(start, size);
}

/** The same in one short pass, for a process that has work to do. */
export function releaseGarbage(): void {
  collect('regular');
}

function collect(flavor: 'regular' | 'last-resort'): void {
  collectGarbage({ type: 'major', execution: 'sync', flavor });
  library ??= findLibrary();
  library.trim();
}

let library: Library | undefined;

/** Of the C library. */
interface Library {
  /** Gives freed pages back. */
  readonly trim: () => void;
  /** Takes pages that are copies of a file's out of this process; those that it needs again come back by themselves. */
  readonly forget: (start: bigint, size: bigint) => void;
}

/** Where there is none of the kind (another C library, no ffi) pages stay. */
function findLibrary(): Library {
  const none = { trim: () => {}, forget: () => {} };
  if (process.platform !== 'linux') return none;
  try {
    const { functions } = process.getBuiltinModule('node:ffi').dlopen(null, {
      malloc_trim: { arguments: ['u64'], return: 'i32' },
      madvise: { arguments: ['u64', 'u64', 'i32'], return: 'i32' },
    });
    return {
      trim: () => void functions.malloc_trim(0n),
      forget: (start, size) => void functions.madvise(start, size, dontNeed),
    };
  } catch {
    return none;
  }
}

/** MADV_DONTNEED, madvise(2). */
const dontNeed = 4;

/**
 * Where programs and libraries are mapped to be run, proc(5). Such pages are never written, and the start runs far more
 * of Node than a sidecar needs later (30 MB of it).
 */
function mappedCode(): { start: bigint; size: bigint }[] {
  let maps: string;
  try {
    maps = readFileSync('/proc/self/maps', 'latin1');
  } catch {
    return [];
  }
  return [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]\d* +\//gm)].map(([, from, to]) => {
    const start = BigInt(`0x${from}`);
    return { start, size: BigInt(`0x${to}`) - start };
  });
}
