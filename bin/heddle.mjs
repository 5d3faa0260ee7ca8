#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
/**
 * The door of the one executable. It is plain JavaScript: `--version` is answered with nothing else loaded, and the
 * compile cache is on before the first TypeScript is met, so that a warm start never loads Node's type stripper
 * (60 ms and 16 MB).
 */
import { lstatSync, mkdirSync, readFileSync } from 'node:fs';
import module from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What runs TypeScript, opens listening sockets by descriptor, and is tested. */
const oldestNode = 26;

// Without a listener Node opens its debugger to whoever may send this signal.
process.on('SIGUSR1', () => {});

const [, , first] = process.argv;
if (first === '--version' || first === '-V') {
  process.stdout.write(`${version()}\n`);
} else if (Number.parseInt(process.versions.node, 10) < oldestNode) {
  process.stderr.write(
    `heddle: this is Node ${process.versions.node}, and heddle needs Node ${oldestNode} or later: ` +
      'put one first in PATH; in a clone `npx heddle` brings its own\n',
  );
  process.exitCode = 1;
} else {
  const folder = cacheFolder();
  if (folder !== undefined) module.enableCompileCache(folder);
  const { runCommandLine } = await import('./command-line.ts');
  await runCommandLine(process.argv, version());
}

/**
 * A folder that is this user's alone: what lies in the cache is run, and everybody may write to the folder for
 * temporary files. Undefined where there cannot be one; then starts are slower.
 */
function cacheFolder() {
  const uid = process.getuid?.() ?? 0;
  const folder = join(tmpdir(), `heddle-compile-cache-${uid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const found = lstatSync(folder);
    const isOurs = found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0;
    return isOurs ? folder : undefined;
  } catch {
    return undefined;
  }
}

/** The package's version: its manifest lies beside the bundle, or above the sources. */
function version() {
  for (const folder of ['.', '..']) {
    try {
      const manifest = JSON.parse(readFileSync(join(import.meta.dirname, folder, 'package.json'), 'utf8'));
      if (manifest.name === 'heddle') return String(manifest.version);
    } catch {
      // The other folder has it.
    }
  }
  return 'unknown';
}
