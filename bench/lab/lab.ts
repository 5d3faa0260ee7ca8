/** A folder with certificates, and the processes of one run, which all end with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from './certificates.ts';

export interface StartOptions {
  readonly core: number;
  readonly command: readonly [string, ...string[]];
  /** Found in its standard output when it serves; without, a port is asked. */
  readonly ready: RegExp | number;
}

export interface Started {
  readonly pid: number;
  /** What `ready` matched. */
  readonly match: RegExpExecArray | undefined;
}

export interface Lab {
  readonly folder: string;
  /** Fills a file of `bench/peers` with values and writes it into the folder; returns its path. */
  writeConfig(name: string, text: string): string;
  start(options: StartOptions): Promise<Started>;
  close(): Promise<void>;
}

/** Our own subject may have to be built first. */
const startMs = 90_000;

export function openLab(): Lab {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'));
  makeCertificates(folder);
  const children: ChildProcess[] = [];
  return {
    folder,
    writeConfig(name, text) {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    },
    async start({ core, command, ready }) {
      const child = spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
      children.push(child);
      const match = await whenReady(child, command.join(' '), ready);
      return { pid: child.pid ?? 0, match };
    },
    async close() {
      await Promise.all(children.map(end));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A configuration of `bench/peers` with `@NAME@` replaced; a part of several lines keeps its indentation. */
export function fill(file: string, values: Readonly<Record<string, string | number>>): string {
  const text = readFileSync(join(import.meta.dirname, '../peers', file), 'utf8');
  return text.replaceAll(/(^ *)?@([A-Z0-9_]+)@/gm, (whole, indent: string | undefined, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${file}: no value for ${whole.trim()}`);
    return (
      (indent ?? '') +
      String(value)
        .trimEnd()
        .replaceAll('\n', `\n${indent ?? ''}`)
    );
  });
}

async function whenReady(
  child: ChildProcess,
  what: string,
  ready: RegExp | number,
): Promise<RegExpExecArray | undefined> {
  let output = '';
  let ended: string | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4_000);
    });
  }
  child.once('error', (cause) => {
    ended = cause.message;
  });
  child.once('close', (code) => {
    ended = `exit ${code}`;
  });
  const deadline = performance.now() + startMs;
  for (;;) {
    if (ended !== undefined) throw new Error(`${what}: ${ended}: ${output}`);
    if (typeof ready === 'number') {
      if (await answers(ready)) return undefined;
    } else {
      const match = ready.exec(output);
      if (match !== null) return match;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not ready in ${startMs} ms: ${output}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Whether an HTTP server (or a TLS one, which refuses plain HTTP) answers there. */
async function answers(port: number): Promise<boolean> {
  try {
    await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1_000) });
    return true;
  } catch (failure) {
    const cause = failure instanceof Error ? failure.cause : undefined;
    return (cause as { code?: string } | undefined)?.code !== 'ECONNREFUSED';
  }
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resolve();
    const last = setTimeout(() => child.kill('SIGKILL'), 5_000);
    child.once('close', () => {
      clearTimeout(last);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
