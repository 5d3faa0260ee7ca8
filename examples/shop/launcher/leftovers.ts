/**
 * What a launcher leaves that was killed. Each notes itself in its folder; the next one ends what runs for a folder whose
 * launcher is no more. One that npm started goes when npm does.
 */
import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identify, isRunning, parentOf } from './process-id.ts';
import { sweep } from './sweep.ts';

/** What the names of temporary folders begin with. */
export const folderPrefix = 'heddle-shop-';

export const noteName = 'launcher';
const lookMs = 1_000;

export function noteLauncher(folder: string): void {
  writeFileSync(join(folder, noteName), identify(process.pid) ?? '', { mode: 0o600 });
}

/** Ends what runs for temporary folders without a launcher, and for `given`, a folder that somebody named and keeps. */
export async function endLeftovers(given: string | undefined, tell: (text: string) => void): Promise<void> {
  const temporary = readdirSync(tmpdir())
    .filter((name) => name.startsWith(folderPrefix))
    .map((name) => join(tmpdir(), name));
  for (const folder of [...temporary, ...(given === undefined ? [] : [given])]) {
    if (!isAbandoned(folder)) continue;
    tell(`ending what an earlier start left behind in ${folder} …`);
    await sweep(folder);
    if (folder !== given) rmSync(folder, { recursive: true, force: true });
  }
}

/** Calls back once, when npm, or the shell between, is gone without a word; never where npm has not started this. */
export function onNpmGone(callback: () => void): void {
  if (process.env['npm_lifecycle_event'] !== 'start') return;
  const above = [process.ppid, parentOf(process.ppid)];
  const known = above.flatMap((pid) => (pid === undefined ? [] : (identify(pid) ?? [])));
  const timer = setInterval(() => {
    if (known.every(isRunning)) return;
    clearInterval(timer);
    callback();
  }, lookMs).unref();
}

/** One that wrote its note, ended in disorder, and was this user's. */
function isAbandoned(folder: string): boolean {
  const note = join(folder, noteName);
  const found = lstatSync(note, { throwIfNoEntry: false });
  if (found?.isFile() !== true || found.uid !== process.getuid?.()) return false;
  return !isRunning(readFileSync(note, 'utf8'));
}
