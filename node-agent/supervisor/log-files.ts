/**
 * Keeps the log files of processes small without their help: what is in the file is copied to `.1` and the file
 * cut to nothing; the writer appends, so its next line is the first. Between the last copy and the cut a
 * writer may slip in a line, and that line is lost; a process that must not lose one rotates its own files.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { UserIds } from './user.ts';

export interface RotationLimits {
  readonly maxBytes: number;
  /** With the one being written. */
  readonly files: number;
}

export const logLimits: RotationLimits = { maxBytes: 10 * 1024 * 1024, files: 5 };
/** How often sizes are looked at. */
export const rotationPeriodMs = 1000;

/** Copied at a time. */
const chunkBytes = 256 * 1024;

/**
 * Makes a log that a process of another user opens by itself. Its folder stays ours and is only opened for passage,
 * so that this user can put nothing else there for us to rotate.
 */
export function createLogFor(owner: UserIds, path: string): void {
  chmodSync(dirname(path), 0o711);
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  try {
    fchownSync(fd, owner.uid, owner.gid);
  } finally {
    closeSync(fd);
  }
}

/**
 * Rotates the file where it is too large. Answers how many bytes of a flood were dropped: of what came in since
 * the last look, only the newest `maxBytes` are kept.
 */
export function rotateIfLarge(path: string, limits: RotationLimits = logLimits): number {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= limits.maxBytes) return 0;
  for (let index = limits.files - 1; index > 1; index--) shift(`${path}.${index - 1}`, `${path}.${index}`);
  return cutInto(path, `${path}.1`, limits.maxBytes);
}

function cutInto(path: string, target: string, maxBytes: number): number {
  const from = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const to = openSync(target, 'w', 0o600);
    try {
      const start = Math.max(0, fstatSync(from).size - maxBytes);
      const chunk = Buffer.allocUnsafe(chunkBytes);
      let at = start;
      for (let read = -1; read !== 0 && at < start + 2 * maxBytes; at += read) {
        read = readSync(from, chunk, 0, chunk.length, at);
        writeAll(to, chunk.subarray(0, read));
      }
      const dropped = start + Math.max(0, fstatSync(from).size - at);
      ftruncateSync(from, 0);
      return dropped;
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function shift(from: string, to: string): void {
  if (statSync(from, { throwIfNoEntry: false }) === undefined) return;
  rmSync(to, { force: true });
  renameSync(from, to);
}
