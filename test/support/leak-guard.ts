/**
 * Fails a test that leaves a process, socket, server or timer behind. Called once at the top of a test file;
 * it looks after everything the test closes in `t.after` or in hooks, and gives closing sockets time to go.
 */
import { afterEach, beforeEach, type TestContext } from 'node:test';
import { eventually } from './eventually.ts';
import { isAlive, processesWith } from './process-table.ts';
import { mark } from './processes.ts';

/** What keeps the event loop busy in ways a test is to blame for; the rest belongs to Node or its runner. */
const watched = /^(?:TCP|TLS|UDP|Pipe(?:Server|Connect)|ProcessWrap|Timeout|FSEvent|Worker|MessagePort)/;

export interface LeakGuardOptions {
  /** How long things may take to go after the test has ended. */
  readonly settleMs?: number;
}

export function guardLeaks(options: LeakGuardOptions = {}): void {
  const settleMs = options.settleMs ?? 5_000;
  const baselines = new WeakMap<object, Baseline>();
  beforeEach((t) => {
    baselines.set(t, takeBaseline());
  });
  afterEach((t) => {
    const baseline = baselines.get(t);
    if (baseline === undefined) return;
    // Hooks of `t.after` run in order after all of `afterEach`, so this one is the last.
    (t as TestContext).after(() => assertNothingLeft(baseline, settleMs));
  });
}

interface Baseline {
  readonly resources: ReadonlyMap<string, number>;
  readonly pids: ReadonlySet<number>;
}

function takeBaseline(): Baseline {
  return { resources: countResources(), pids: new Set(processesWith(mark).map((entry) => entry.pid)) };
}

async function assertNothingLeft(baseline: Baseline, settleMs: number): Promise<void> {
  let left: string[] = [];
  try {
    await eventually(
      () => {
        left = leftBehind(baseline);
        return left.length === 0;
      },
      { withinMs: settleMs },
    );
  } catch {
    throw new Error(`left behind: ${left.join(', ')}`);
  }
}

function leftBehind(baseline: Baseline): string[] {
  const left: string[] = [];
  for (const [name, count] of countResources()) {
    const more = count - (baseline.resources.get(name) ?? 0);
    if (more > 0) left.push(more === 1 ? name : `${more} × ${name}`);
  }
  for (const entry of processesWith(mark)) {
    if (!baseline.pids.has(entry.pid) && isAlive(entry.pid))
      left.push(`process ${entry.pid} (${entry.command})`);
  }
  return left;
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    if (watched.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  // The wait between two looks is a timer itself, but never while the count is taken.
  return counts;
}
