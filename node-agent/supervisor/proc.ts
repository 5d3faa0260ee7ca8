/** What Linux tells of processes under `/proc`: who runs, since when, and whose it is by its environment. */
import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessRef } from './process-state.ts';

export interface ProcessStat {
  readonly ref: ProcessRef;
  readonly session: number;
}

/** A process that an agent with this state folder started, by the marks in its environment. */
export interface MarkedProcess extends ProcessStat {
  readonly env: Readonly<Record<string, string>>;
}

/** What the supervisor asks of the host; tests give a table of their own. */
export interface ProcessTable {
  /** The live process with that id, or undefined; a zombie is not live. */
  stat(pid: number): ProcessStat | undefined;
  /** Processes of ours whose environment has `name=value`. */
  marked(name: string, value: string): readonly MarkedProcess[];
  /** Processes in the session that `leader` began. */
  inSession(leader: number): readonly ProcessStat[];
  /** Sends the signal to the process, or with `group` to its group; false where there is none. */
  kill(pid: number, signal: 'SIGTERM' | 'SIGKILL', target: 'process' | 'group'): boolean;
}

export function createProcessTable(): ProcessTable {
  const bootId = readBootId();
  const stat = (pid: number) => readStat(pid, bootId);
  return {
    stat,
    marked: (name, value) => {
      const found: MarkedProcess[] = [];
      for (const pid of pids()) {
        const env = readEnvironment(pid);
        const seen = env?.[name] === value ? stat(pid) : undefined;
        if (env !== undefined && seen !== undefined) found.push({ ...seen, env });
      }
      return found;
    },
    inSession: (leader) =>
      pids()
        .map(stat)
        .filter((seen) => seen !== undefined)
        .filter((seen) => seen.session === leader),
    kill: (pid, signal, target) => {
      try {
        process.kill(target === 'group' ? -pid : pid, signal);
        return true;
      } catch {
        // ESRCH: it ended first. EPERM: it changed its user and is no longer ours to end.
        return false;
      }
    },
  };
}

/** Changes with every boot of the kernel. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Whether that very process still runs. */
export function isAlive(table: ProcessTable, ref: ProcessRef): boolean {
  const seen = table.stat(ref.pid)?.ref;
  return seen !== undefined && seen.startTicks === ref.startTicks && seen.bootId === ref.bootId;
}

function readStat(pid: number, bootId: string): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, , , session] = fields;
  if (state === undefined || state === 'Z' || state === 'X') return undefined;
  return { ref: { pid, startTicks: Number(fields[19]), bootId }, session: Number(session) };
}

function readEnvironment(pid: number): Record<string, string> | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return undefined;
  }
  const env: Record<string, string> = {};
  for (const entry of text.split('\0')) {
    const at = entry.indexOf('=');
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return env;
}

function pids(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}
