/** What processes have cost, as the kernel counts it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Cost {
  /** User and system time of all of them, in microseconds. */
  readonly cpuUs: number;
  readonly rssBytes: number;
}

let ticksPerSecond: number | undefined;

export function costOf(pids: readonly number[]): Cost {
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  let ticks = 0;
  let rssBytes = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): after the name in parentheses come the state and then numbers; utime and stime are 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
    const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    rssBytes += Number(kilobytes ?? 0) * 1024;
  }
  return { cpuUs: (ticks / ticksPerSecond) * 1e6, rssBytes };
}
