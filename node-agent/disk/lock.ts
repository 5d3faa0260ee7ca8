/**
 * At most one agent per state folder. The kernel holds the lock for a process (through an SQLite file lock, the
 * only file lock that Node gives without native code) and takes it back when the process ends, however it ends.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MeshError, messageOf } from '../../kit/errors.ts';

export interface StateLock {
  release(): void;
}

/** Keeps open locks from being collected as garbage, which would give them back. */
const held = new Set<DatabaseSync>();

/** Takes the folder, or throws MeshError: `conflict` where another agent has it, `unavailable` where none could. */
export function lockStateDir(folder: string): StateLock {
  const path = join(folder, 'agent.lock');
  const holder = join(folder, 'agent.pid');
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 });
  } catch (cause) {
    database?.close();
    throw /locked|busy/i.test(messageOf(cause))
      ? new MeshError(
          'conflict',
          `another agent (${pidIn(holder)}) already runs with the state folder ${folder}: stop it, or choose another --state-dir`,
          {
            origin: 'local',
            cause,
          },
        )
      : new MeshError('unavailable', `the state folder ${folder} cannot be locked: ${messageOf(cause)}`, {
          origin: 'local',
          cause,
        });
  }
  const open = database;
  held.add(open);
  return {
    release: () => {
      held.delete(open);
      open.close();
    },
  };
}

function pidIn(path: string): string {
  try {
    return `process ${Number(readFileSync(path, 'utf8'))}`;
  } catch {
    return 'process unknown';
  }
}
