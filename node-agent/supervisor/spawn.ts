/**
 * Starts a process so that it outlives the agent: in a session of its own, its output in files, not pipes.
 * The program gets an argument vector, never a shell line, and only the environment that it was given.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, constants, mkdirSync, openSync, statSync } from 'node:fs';
import { MeshError } from '../../kit/errors.ts';
import type { ProcessTable } from './proc.ts';
import type { ProcessRef } from './process-state.ts';
import { resolveUser, type UserIds, userVariables } from './user.ts';

export interface ProcessSpec {
  /** Program and arguments; at least the program. */
  readonly command: readonly string[];
  /** The whole environment; that of its user's login is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** `own`: a private folder of the user that it runs as, made where it is missing. */
  readonly cwdKind: 'given' | 'own';
  /** The user it runs as; undefined is the agent's own. */
  readonly user: string | undefined;
  readonly stdoutFile: string;
  readonly stderrFile: string;
}

/** Starts what `spec` says and calls `onExit` once when it ended. Throws MeshError where it cannot start. */
export type Spawn = (spec: ProcessSpec, onExit: (reason: string) => void) => Promise<ProcessRef>;

export function createSpawn(table: ProcessTable): Spawn {
  return async (spec, onExit) => {
    const [program, ...args] = spec.command;
    if (program === undefined) throw cannotStart('', 'the command is empty');
    const user = spec.user === undefined ? undefined : resolveUser(spec.user);
    if (spec.cwdKind === 'own') makeFolder(program, spec.cwd, user);
    else requireFolder(program, spec.cwd);
    const stdout = openLog(program, spec.stdoutFile);
    let stderr: number | undefined;
    try {
      stderr = openLog(program, spec.stderrFile);
      const child = spawn(program, args, {
        argv0: program,
        cwd: spec.cwd,
        env: spec.user === undefined ? spec.env : { ...userVariables(spec.user), ...spec.env },
        detached: true,
        stdio: ['ignore', stdout, stderr],
        ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
      });
      return await watch(child, program, table, onExit);
    } finally {
      closeSync(stdout);
      if (stderr !== undefined) closeSync(stderr);
    }
  };
}

function watch(
  child: ChildProcess,
  program: string,
  table: ProcessTable,
  onExit: (reason: string) => void,
): Promise<ProcessRef> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(cannotStart(program, cause.message, cause)));
    if (child.pid === undefined) return;
    // Not reaped yet, so its entry is there even if it ended at once; only then it counts as a zombie.
    const ref = table.stat(child.pid)?.ref ?? { pid: child.pid, startTicks: -1, bootId: '' };
    child.once('exit', (code, signal) => onExit(signal === null ? `exit code ${code}` : `signal ${signal}`));
    child.unref();
    resolve(ref);
  });
}

/** Append mode, so that a rotation that cuts the file to nothing makes the next line its first. */
function openLog(program: string, path: string): number {
  try {
    const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
    return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  } catch (cause) {
    throw cannotStart(program, `its log ${path} cannot be opened`, cause);
  }
}

/** Node reports a missing working directory as a missing program. */
function requireFolder(program: string, cwd: string): void {
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw cannotStart(program, `its working directory ${cwd} is not there`);
  }
}

function makeFolder(program: string, cwd: string, user: UserIds | undefined): void {
  try {
    mkdirSync(cwd, { recursive: true, mode: 0o700 });
    if (user !== undefined) chownSync(cwd, user.uid, user.gid);
  } catch (cause) {
    throw cannotStart(program, `its working directory ${cwd} cannot be made`, cause);
  }
}

function cannotStart(program: string, why: string, cause?: unknown): MeshError {
  return new MeshError('unavailable', `cannot start ${JSON.stringify(program)}: ${why}`, {
    origin: 'local',
    cause,
  });
}
