/** What the kernel says about a process's memory. */
import { readFileSync } from 'node:fs';
import { collectGarbage } from '../../kit/collector.ts';
import { eventually } from './eventually.ts';

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Resident memory once it has stopped moving by more than `stepBytes` from one look to the next. */
export async function settledBytes(pid: number, stepBytes = 512 * 1024): Promise<number> {
  return await settled(() => residentBytes(pid), { stepBytes, what: `memory of ${pid}` });
}

/** A number of bytes once it has stopped moving by more than `stepBytes` from one look to the next. */
export async function settled(
  read: () => number,
  { stepBytes, what, withinMs = 60_000 }: { stepBytes: number; what: string; withinMs?: number },
): Promise<number> {
  let before = read();
  let calm = 0;
  return await eventually(
    () => {
      const now = read();
      calm = Math.abs(now - before) <= stepBytes ? calm + 1 : 0;
      before = now;
      return calm >= 4 ? now : undefined;
    },
    { everyMs: 250, withinMs, what: `settled ${what}` },
  );
}

/** For `nodeArgs` of a process that is to give memory back when `liveBytes` asks. */
export const collectable: readonly string[] = ['--import', './test/support/programs/collect.mjs'];

/** Resident memory without garbage and free pages, of a process started with `collectable`. */
export async function liveBytes(pid: number): Promise<number> {
  process.kill(pid, 'SIGUSR2');
  await settledBytes(pid);
  process.kill(pid, 'SIGUSR2');
  return await settledBytes(pid);
}

/** What buffers outside the heap take in this process, without garbage. */
export function externalBytes(): number {
  // The first leaves some to be swept on the side.
  for (let time = 0; time < 2; time++) collectGarbage({ type: 'major', execution: 'sync' });
  return process.memoryUsage().arrayBuffers;
}
