/**
 * What the supervisor remembers on disk: the plan, ports and processes of every instance. Notes are never the last word:
 * a process counts only while that very process runs, and where notes are lost the marks in the environments of
 * running processes stand in for them.
 */
import { join } from 'node:path';
import type { Clock } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { PlacedWorkload } from '../../mesh/placement.ts';
import { readSaved } from '../disk/saved-file.ts';
import { createSavedWriter } from '../disk/saved-writer.ts';
import type { NodeSettings } from '../plan/instance-plan.ts';
import type { RunningProcess } from './instance-runner.ts';
import { type Role, roles } from './instance-state.ts';
import { mark } from './marks.ts';
import type { InstancePorts } from './ports.ts';
import { isAlive, type ProcessTable } from './proc.ts';

export interface FoundInstance {
  readonly ports: InstancePorts;
  readonly running: Readonly<Partial<Record<Role, RunningProcess>>>;
  /** What it was last planned by, because what was placed after that may be refused. */
  readonly workload?: PlacedWorkload | undefined;
}

export interface Notes {
  /** What earlier lives of the agent left running, and the ports of what they ran. */
  found(): Map<string, FoundInstance>;
  /** Writes soon; several calls within a moment are one write. */
  keep(current: () => Readonly<Record<string, FoundInstance>>): void;
  /** Writes what is still to be written. */
  close(): void;
}

export interface NotesInit {
  readonly settings: NodeSettings;
  readonly clock: Clock;
  readonly table: ProcessTable;
  readonly log: Log;
}

const writeDelayMs = 20;

export function createNotes({ settings, clock, table, log }: NotesInit): Notes {
  const path = join(settings.stateDir, 'instances');
  let current: () => Readonly<Record<string, FoundInstance>> = () => ({});
  const writer = createSavedWriter({
    path,
    delayMs: writeDelayMs,
    clock,
    log,
    payload: () => Buffer.from(JSON.stringify(current())),
  });
  return {
    found() {
      const found = new Map<string, FoundInstance>();
      for (const [id, noted] of Object.entries(readNotes(path, log))) {
        found.set(id, { ...noted, running: stillRunning(noted.running, table) });
      }
      for (const [id, marked] of findMarked(settings.stateDir, table)) {
        const noted = found.get(id);
        found.set(id, {
          ...noted,
          ports: { ...marked.ports, ...noted?.ports },
          running: { ...marked.running, ...noted?.running },
        });
      }
      return found;
    },
    keep(state) {
      current = state;
      writer.soon();
    },
    close: () => writer.close(),
  };
}

function readNotes(path: string, log: Log): Record<string, FoundInstance> {
  const bytes = readSaved(path, log);
  if (bytes === undefined) return {};
  try {
    // Its checksum was right, so it is what this program wrote.
    return JSON.parse(bytes.toString('utf8')) as Record<string, FoundInstance>;
  } catch (error) {
    log.error('state not readable, taken from running processes', { path, reason: messageOf(error) });
    return {};
  }
}

function stillRunning(running: FoundInstance['running'], table: ProcessTable): FoundInstance['running'] {
  const alive: Partial<Record<Role, RunningProcess>> = {};
  for (const role of roles) {
    const noted = running[role];
    if (noted !== undefined && isAlive(table, noted.ref)) alive[role] = noted;
  }
  return alive;
}

/** Processes by their marks: of several of one role the oldest that leads a session is the one we started. */
function findMarked(stateDir: string, table: ProcessTable): Map<string, FoundInstance> {
  const found = new Map<string, FoundInstance>();
  const leaders = table
    .marked(mark.stateDir, stateDir)
    .filter(({ ref, session }) => ref.pid === session)
    .sort((a, b) => a.ref.startTicks - b.ref.startTicks);
  for (const { ref, env } of leaders) {
    const id = env[mark.instance];
    const role = roles.find((name) => name === env[mark.role]);
    if (id === undefined || role === undefined) continue;
    const known = found.get(id);
    if (known?.running[role] !== undefined) continue;
    found.set(id, {
      ports: { ...portsFrom(env[mark.ports]), ...known?.ports },
      running: { ...known?.running, [role]: { ref, hash: env[mark.plan] ?? '' } },
    });
  }
  return found;
}

function portsFrom(json: string | undefined): InstancePorts {
  try {
    const ports: unknown = JSON.parse(json ?? '{}');
    if (typeof ports !== 'object' || ports === null) return {};
    return Object.fromEntries(Object.entries(ports).filter(([, port]) => Number.isInteger(port)));
  } catch {
    return {};
  }
}
