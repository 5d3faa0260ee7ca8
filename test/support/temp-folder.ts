/** A folder of the test's own, gone when it ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defer, type Scope } from './cleanup.ts';

export function tempFolder(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-test-'));
  defer(t, () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}
