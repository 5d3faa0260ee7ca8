/** Processes by more than their number, which the system gives to another one some day. */
import { readFileSync } from 'node:fs';

/** `PID START`: the number, and when it began in ticks since boot. Undefined where there is no such process. */
export function identify(pid: number): string | undefined {
  const stat = statOf(pid);
  return stat === undefined ? undefined : `${pid} ${stat[startField]}`;
}

export function isRunning(identity: string): boolean {
  return identify(Number(identity.split(' ')[0])) === identity;
}

export function parentOf(pid: number): number | undefined {
  const parent = Number(statOf(pid)?.[parentField]);
  return parent > 1 ? parent : undefined;
}

// As proc(5) counts them, from what follows the name.
const parentField = 1;
const startField = 19;

function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in parentheses and may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
