/** `heddle agent …` alone, for tests that run it as a process. */
import { Command } from 'commander';
import { agentCommands } from '../../../node-agent/main.ts';

const program = new Command('heddle');
agentCommands(program);
await program.parseAsync();
