/** What runs on this machine, read from /proc: for tests that must find what a program left behind. */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** One letter as in proc(5): `Z` has ended but was not waited for. */
  readonly state: string;
  /** Arguments joined by spaces. */
  readonly command: string;
}

/** The process with this id, or undefined where there is none. */
export function processEntry(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything, so fields are counted from the last one.
    const [state = '', parent = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    return { pid, parent: Number(parent), state, command };
  } catch {
    return undefined;
  }
}

/** Whether it runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  const entry = processEntry(pid);
  return entry !== undefined && entry.state !== 'Z';
}

/** Living processes whose environment or arguments contain `mark`; this one is left out. */
export function processesWith(mark: string): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const entry = processEntry(pid);
    if (entry === undefined || entry.state === 'Z') continue;
    if (entry.command.includes(mark) || environmentOf(pid).includes(mark)) found.push(entry);
  }
  return found;
}

/** Process ids of all descendants of `pid`, nearest first. */
export function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const entry = processEntry(Number(name));
    if (entry === undefined) continue;
    children.set(entry.parent, [...(children.get(entry.parent) ?? []), entry.pid]);
  }
  const found: number[] = [];
  for (const next of [pid]) collect(next);
  return found;

  function collect(parent: number): void {
    for (const child of children.get(parent) ?? []) {
      found.push(child);
      collect(child);
    }
  }
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}
