/**
 * Ends what agents started and could not end themselves: processes that carry the example's own folder in the
 * variable by which agents mark what is theirs. Nobody else's process has it.
 */
import { readdirSync } from 'node:fs';
import { environmentOf } from './agent-status.ts';

const markVariable = 'HEDDLE_STATE_DIR';
const graceMs = 5_000;
const lookMs = 50;

export async function sweep(folder: string): Promise<void> {
  const deadline = performance.now() + graceMs;
  let signal: NodeJS.Signals = 'SIGTERM';
  for (let left = ofFolder(folder); left.length > 0; left = ofFolder(folder)) {
    for (const pid of left) kill(pid, signal);
    if (performance.now() > deadline) signal = 'SIGKILL';
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

function ofFolder(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && environmentOf(pid).get(markVariable)?.startsWith(`${folder}/`) === true);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself meanwhile.
  }
}
