/**
 * A value kept over restarts: private, replaced in one step, with its checksum, and with the generation before
 * beside it. A file that is not what was written counts as not there, and the one before is taken.
 *
 *   NAME        heddle 1 SHA-256-in-hex LF bytes
 *   NAME.prev   the same, one write older
 */
import { createHash } from 'node:crypto';
import { linkSync, readFileSync, rmSync } from 'node:fs';
import { writeFileAtomic } from '../../kit/atomic-file.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';

const magic = 'heddle 1 ';
const headLength = magic.length + 64 + 1;

/** Replaces what is kept at `path`. Throws Node's error (ENOSPC …), and then what was there is still there. */
export function writeSaved(path: string, payload: Uint8Array): void {
  keepPrevious(path);
  writeFileAtomic(path, Buffer.concat([Buffer.from(`${magic}${digestOf(payload)}\n`), payload]));
}

/** The bytes last written whole, or undefined where there are none. What is damaged is said in the log. */
export function readSaved(path: string, log: Log): Buffer | undefined {
  for (const candidate of [path, `${path}.prev`]) {
    const read = readOne(candidate);
    if (read.kind === 'whole') return read.payload;
    if (read.kind === 'damaged') log.error('saved file damaged', { path: candidate, reason: read.reason });
  }
  return undefined;
}

type Read =
  | { readonly kind: 'absent' }
  | { readonly kind: 'whole'; readonly payload: Buffer }
  | { readonly kind: 'damaged'; readonly reason: string };

function readOne(path: string): Read {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { kind: 'absent' };
    return { kind: 'damaged', reason: messageOf(error) };
  }
  const head = bytes.subarray(0, headLength).toString('latin1');
  const payload = bytes.subarray(headLength);
  if (head !== `${magic}${digestOf(payload)}\n`)
    return { kind: 'damaged', reason: 'checksum does not match' };
  return { kind: 'whole', payload };
}

function digestOf(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex');
}

/** A link, not a copy: at every moment at least one generation is whole, and it costs no space. */
function keepPrevious(path: string): void {
  // A damaged generation must not push the whole one before it away.
  if (readOne(path).kind !== 'whole') return;
  rmSync(`${path}.prev`, { force: true });
  linkSync(path, `${path}.prev`);
}
