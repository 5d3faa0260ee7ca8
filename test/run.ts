/**
 * `npm test`: format, lint, types and unused code first, for they fail in seconds; then every test file by
 * glob, the ones that want the machine alone last. A glob that matches nothing fails, and so does a run with fewer
 * tests than it had: `node --test` alone would call both a success.
 *
 *   node test/run.ts                      everything
 *   node test/run.ts test/unit/kit/*.ts   these files only, without the checks
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { scaled } from './support/scale.ts';

interface Group {
  readonly globs: readonly string[];
  readonly concurrency: number;
}

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

/** Raise it when tests are added; it guards against files that silently no longer run. */
const leastTests = 2_700;
/** One file, with all its tests. Generous: CI machines are shared, and at full scale one watches memory for 70 minutes. */
const fileTimeoutMs = scaled(10, 90) * 60_000;
const cores = Math.min(availableParallelism(), 4);
/** Files at once: most of their time is waiting, so one more than there are cores keeps these busy. */
const together = cores + 1;
/** Files that start many processes each; at full scale each wants the machine alone. */
const processesTogether = scaled(Math.min(together, 3), 1);

const checks: readonly (readonly [string, ...string[]])[] = [
  ['biome', 'check', '--max-diagnostics=50', '--error-on-warnings', '.'],
  ['tsc', '--noEmit'],
  ['knip', '--no-progress'],
];

/** These measure what a machine can do, or how soon a sidecar gives memory back: one at a time, with nothing beside. */
const alone: readonly string[] = [
  'test/e2e/floods.test.ts',
  'test/e2e/overload.test.ts',
  'test/limits/leaks.test.ts',
  'test/limits/overload.test.ts',
];

const groups: readonly Group[] = [
  {
    globs: ['', 'unit/**/', 'property/**/', 'contract/**/', 'conformance/**/'].map(
      (folder) => `test/${folder}*.test.ts`,
    ),
    concurrency: together,
  },
  // These mostly wait: for certificates to age, for processes to start, for an outage to pass, for buffers to fill.
  { globs: ['test/e2e/**/*.test.ts', 'test/limits/**/*.test.ts'], concurrency: processesTogether },
  { globs: alone, concurrency: 1 },
];

/** The longest of their group, started before all others: begun last, each would keep one core busy and the rest idle. */
const longest: readonly string[] = [
  'test/limits/back-pressure.test.ts',
  'test/limits/ledger.test.ts',
  'test/e2e/mesh/outage.test.ts',
  'test/e2e/opaque.test.ts',
  'test/limits/soak.test.ts',
  'test/e2e/mesh/kills.test.ts',
  'test/e2e/mesh/renewal.test.ts',
  'test/limits/zero-window.test.ts',
  'test/limits/idle-connections.test.ts',
  'test/conformance/h1-vectors.test.ts',
  'test/contract/store/server.test.ts',
  'test/unit/node-agent/supervisor/supervisor.test.ts',
  'test/contract/store/store.test.ts',
];

/** How many of the files that took longest are named at the end. */
const slowestShown = 10;

/** Starting Node with a warm cache costs half: nothing is compiled or stripped of types again. Children have it too. */
process.env['NODE_COMPILE_CACHE'] ??= resolve('node_modules/.cache/compiled-tests');

const seconds = new Map<string, number>();
const chosen = process.argv.slice(2);
const count: Count = { passed: 0, failed: 0, skipped: 0 };
if (chosen.length > 0) {
  // Real servers and measurements each want the machine alone.
  const isAlone = chosen.some((file) => /\/(?:interop|limits)\//.test(file));
  await runFiles(chosen, isAlone ? 1 : cores);
} else {
  await runChecks();
  for (const file of longest) filesOf(file);
  for (const { globs, concurrency } of groups) {
    const files = globs.flatMap((glob) => filesOf(glob));
    await runFiles(globs === alone ? files : longestFirst(files), concurrency);
  }
  const total = count.passed + count.failed;
  if (total < leastTests) fail(`only ${total} tests ran, expected at least ${leastTests}`);
}
tellSlowest();
process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
if (count.failed > 0) process.exitCode = 1;

async function runChecks(): Promise<void> {
  const results = await Promise.all(checks.map(([program, ...args]) => runTool(program, args)));
  for (const { program, code, output, seconds } of results) {
    process.stdout.write(`${code === 0 ? '✔' : '✖'} ${program} (${seconds.toFixed(1)} s)\n`);
    if (code !== 0) process.stdout.write(output);
  }
  if (results.some((result) => result.code !== 0)) fail('checks failed; tests were not run');
}

function runTool(program: string, args: readonly string[]) {
  const startedAt = performance.now();
  return new Promise<{ program: string; code: number; output: string; seconds: number }>(
    (resolve, reject) => {
      const child = spawn(join('node_modules', '.bin', program), args, { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8');
        stream.on('data', (text: string) => {
          output += text;
        });
      }
      child.once('error', reject);
      child.once('close', (code) => {
        resolve({ program, code: code ?? 1, output, seconds: (performance.now() - startedAt) / 1000 });
      });
    },
  );
}

function filesOf(glob: string): string[] {
  const files = globSync(glob).sort();
  if (files.length === 0) fail(`no file matches ${glob}`);
  return files;
}

/** Without those that want to be alone. */
function longestFirst(files: readonly string[]): string[] {
  const first = longest.filter((file) => files.includes(file));
  return [...first, ...files.filter((file) => !first.includes(file) && !alone.includes(file))];
}

function runFiles(files: readonly string[], concurrency: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const events = run({ files: [...files], concurrency, timeout: fileTimeoutMs });
    events.on('test:summary', (summary) => {
      // One summary per file, and one without a file for them all.
      if (summary.file !== undefined) {
        seconds.set(relative('.', summary.file), summary.duration_ms / 1000);
        return;
      }
      const { tests, passed, skipped, todo } = summary.counts;
      count.passed += passed;
      count.failed += tests - passed - skipped - todo;
      count.skipped += skipped + todo;
      if (!summary.success) process.exitCode = 1;
    });
    const report = events.compose(spec);
    report.once('error', reject);
    report.once('end', resolve);
    report.pipe(process.stdout, { end: false });
  });
}

function tellSlowest(): void {
  const slowest = [...seconds].sort((a, b) => b[1] - a[1]).slice(0, slowestShown);
  const lines = slowest.map(([file, taken]) => `${taken.toFixed(1).padStart(6)} s  ${file}\n`);
  process.stdout.write(`\nlongest files:\n${lines.join('')}`);
}

function fail(message: string): never {
  process.stdout.write(`✖ ${message}\n0 passed, 1 failed\n`);
  process.exit(1);
}
