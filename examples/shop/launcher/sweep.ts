/**
 * Ends what runs for a folder of the example and was not ended by those who started it: processes that carry the folder
 * in the variable by which agents mark what is theirs, and the pilot and agents, which the launcher marks. Nobody
 * else's process has either.
 */
import { readdirSync } from 'node:fs';
import { environmentOf } from './agent-status.ts';

const agentsMark = 'HEDDLE_STATE_DIR';
export const launchersMark = 'HEDDLE_SHOP_FOLDER';
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
    .filter((pid) => {
      if (!(pid > 0)) return false;
      const environment = environmentOf(pid);
      const stateDir = environment.get(agentsMark) ?? '';
      return stateDir.startsWith(`${folder}/`) || environment.get(launchersMark) === folder;
    });
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself meanwhile.
  }
}
