/**
 * Real processes for tests: started with their output kept, waited for by what they print or by any other
 * condition, ended by their own process id when the test ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { defer, type Scope } from './cleanup.ts';
import { eventually, within } from './eventually.ts';

export interface ProcessOptions {
  readonly command?: string;
  readonly args: readonly string[];
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** How long SIGTERM may take at the end before SIGKILL follows. */
  readonly graceMs?: number;
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** More than this of each output is dropped at its beginning. */
const maxOutputChars = 1 << 20;

/** Environment variable that marks whatever tests start, children of children included. */
export const markVariable = 'HEDDLE_TEST_MARK';
export const mark = `${process.pid}-${Date.now().toString(36)}`;

export class RunningProcess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  readonly #child: ChildProcess;
  readonly #graceMs: number;
  #stdout = '';
  #stderr = '';
  #status: ExitStatus | undefined;

  constructor(child: ChildProcess, pid: number, graceMs: number) {
    this.#child = child;
    this.pid = pid;
    this.#graceMs = graceMs;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-maxOutputChars);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-maxOutputChars);
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#status = { code, signal };
        resolve(this.#status);
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Undefined while it runs. */
  get status(): ExitStatus | undefined {
    return this.#status;
  }

  /** The first match of `pattern` in what it printed; fails as soon as it ends without. */
  async printed(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray> {
    const find = () => pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
    const found = await eventually(() => find() ?? this.#status, {
      what: `${pattern} in the output of ${this.pid} (so far: ${this.tail()})`,
      ...(withinMs === undefined ? {} : { withinMs }),
    });
    if (Array.isArray(found)) return found as RegExpExecArray;
    const late = find();
    if (late !== null) return late;
    throw new Error(`ended with ${JSON.stringify(this.#status)} before printing ${pattern}: ${this.tail()}`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGTERM, then SIGKILL where that does not end it within its grace. */
  async stop(): Promise<ExitStatus> {
    this.signal('SIGTERM');
    try {
      return await within(this.exited, `the end of ${this.pid}`, this.#graceMs);
    } catch {
      this.signal('SIGKILL');
      return await this.exited;
    }
  }

  /** The last lines of both outputs, for messages. */
  tail(): string {
    return `${this.#stdout.slice(-1_000)}${this.#stderr.slice(-2_000)}`.trim();
  }
}

/** Starts a process that ends with the test at the latest. Without a command it is this Node. */
export async function startProcess(t: Scope, options: ProcessOptions): Promise<RunningProcess> {
  const child = spawn(options.command ?? process.execPath, options.args, {
    cwd: options.cwd,
    env: { ...process.env, [markVariable]: mark, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  const running = new RunningProcess(child, pid, options.graceMs ?? 10_000);
  defer(t, async () => {
    if (running.status === undefined) await running.stop();
  });
  return running;
}

/** Runs a process to its end and returns what it printed. */
export async function runProcess(
  t: Scope,
  options: ProcessOptions & { readonly withinMs?: number },
): Promise<ExitStatus & { readonly stdout: string; readonly stderr: string }> {
  const running = await startProcess(t, options);
  const status = await within(
    running.exited,
    `${options.command ?? 'node'} ${options.args.join(' ')}`,
    options.withinMs ?? 60_000,
  );
  return { ...status, stdout: running.stdout, stderr: running.stderr };
}
