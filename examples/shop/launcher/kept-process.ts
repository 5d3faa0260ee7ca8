/**
 * A process that is wanted: started, its ready line waited for, started again when it falls. It has a session of
 * its own, so that Ctrl-C reaches the launcher alone, which then ends everything in order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

export interface KeptProcessOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Its standard error goes here. */
  readonly logFile: string;
  /** Told of every new life but the first. */
  readonly onRestart: (pid: number) => void;
}

export interface KeptProcess {
  /** Of its present life; 0 between two. */
  readonly pid: number;
  /** What its present life said in its ready line; rejects where the first life ends without. */
  ready(): Promise<Readonly<Record<string, unknown>>>;
  stop(): Promise<void>;
}

const firstPauseMs = 200;
const longestPauseMs = 5_000;
/** It lived: the next fall is the first again. */
const stableMs = 10_000;
const graceMs = 15_000;

export function keepProcess(options: KeptProcessOptions): KeptProcess {
  let child: ChildProcess | undefined;
  let state: 'running' | 'stopping' = 'running';
  let pauseMs = firstPauseMs;
  let next: NodeJS.Timeout | undefined;
  let isReady = Promise.withResolvers<Readonly<Record<string, unknown>>>();

  const start = (): void => {
    const startedAt = performance.now();
    const log = openSync(options.logFile, 'a', 0o600);
    const [program = '', ...args] = options.command;
    const started = spawn(program, args, {
      env: options.env,
      detached: true,
      stdio: ['ignore', 'pipe', log],
    });
    closeSync(log);
    child = started;
    readLines(started, (line) => isReady.resolve(line));
    started.once('error', (cause) => isReady.reject(cause));
    started.once('exit', (code, signal) => {
      child = undefined;
      if (state === 'stopping') return;
      isReady.reject(
        new Error(`${options.name} ended (${signal ?? `exit ${code}`}); its log: ${options.logFile}`),
      );
      isReady = Promise.withResolvers();
      isReady.promise.catch(() => {});
      pauseMs =
        performance.now() - startedAt > stableMs ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs);
      next = setTimeout(() => {
        start();
        options.onRestart(child?.pid ?? 0);
      }, pauseMs);
    });
  };

  isReady.promise.catch(() => {});
  start();
  return {
    get pid() {
      return child?.pid ?? 0;
    },
    ready: () => isReady.promise,
    stop() {
      state = 'stopping';
      clearTimeout(next);
      isReady.reject(new Error(`${options.name} was stopped`));
      return end(child);
    },
  };
}

/** SIGTERM, and SIGKILL where that is not enough. */
function end(child: ChildProcess | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resolve();
    const last = setTimeout(() => child.kill('SIGKILL'), graceMs);
    child.once('exit', () => {
      clearTimeout(last);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

/** Lines of JSON on standard output that say `ready`; what is not such a line is of no interest. */
function readLines(child: ChildProcess, onReady: (line: Readonly<Record<string, unknown>>) => void): void {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    const lines = (text + part).split('\n');
    text = (lines.pop() ?? '').slice(-65_536);
    for (const line of lines) {
      const value = parseObject(line);
      if (value?.['ready'] === true) onReady(value);
    }
  });
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
