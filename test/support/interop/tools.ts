/** What the set-up of `npm run test:interop` could get: how each tool is run, or why it is missing. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export type ToolName = 'h2spec' | 'python' | 'grpcJava' | 'autobahn';

export interface Tool {
  readonly command: string;
  readonly args: readonly string[];
  /** For `node:test`: the reason to skip, or false. */
  readonly skip: string | false;
}

const folder = process.env['HEDDLE_INTEROP_DIR'] || join(homedir(), '.cache', 'heddle-interop');

/** The tool as the set-up left it. */
export function interopTool(name: ToolName): Tool {
  const file = join(folder, 'tools.json');
  const known = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, Entry>) : {};
  const { command: [command = '', ...args] = [], problem } = known[name] ?? {
    problem: 'not set up: run `npm run test:interop`',
  };
  return { command, args, skip: problem === undefined ? false : `SKIPPED ${name}: ${problem}` };
}

interface Entry {
  readonly command?: readonly string[];
  readonly problem?: string;
}
