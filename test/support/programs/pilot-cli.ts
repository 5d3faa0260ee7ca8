/** Run as a process: the client commands of `heddle pilot` alone, as the program registers them. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { systemClock } from '../../../kit/clock.ts';
import { pilotClientCommands } from '../../../pilot/cli/commands.ts';

const program = new Command('pilot').exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
pilotClientCommands(program, {
  env: process.env,
  clock: systemClock,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  readInput: () => readFileSync(0, 'utf8'),
  exit: (code) => {
    process.exitCode = code;
  },
});
await program.parseAsync();
