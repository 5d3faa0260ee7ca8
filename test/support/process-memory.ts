/** What the kernel says about a process's memory. */
import { readFileSync } from 'node:fs';
import { eventually } from './eventually.ts';

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Resident memory once it has stopped moving by more than `stepBytes` from one look to the next. */
export async function settledBytes(pid: number, stepBytes = 512 * 1024): Promise<number> {
  let before = residentBytes(pid);
  let calm = 0;
  return await eventually(
    () => {
      const now = residentBytes(pid);
      calm = Math.abs(now - before) <= stepBytes ? calm + 1 : 0;
      before = now;
      return calm >= 4 ? now : undefined;
    },
    { everyMs: 250, withinMs: 60_000, what: `settled memory of ${pid}` },
  );
}

/** For `nodeArgs` of a process whose garbage is to be collected when `liveBytes` asks. */
export const collectable: readonly string[] = [
  '--expose-gc',
  '--import',
  './test/support/programs/collect.mjs',
];

/** Resident memory without garbage, of a process started with `collectable`. */
export async function liveBytes(pid: number): Promise<number> {
  process.kill(pid, 'SIGUSR2');
  await settledBytes(pid);
  process.kill(pid, 'SIGUSR2');
  return await settledBytes(pid);
}
