#!/usr/bin/env node
/**
 * The one executable. Each program below it is loaded when it is asked for, and compiled code is kept on disk,
 * so that `--version` and help are quick.
 */
import * as nodeModule from 'node:module';

nodeModule.enableCompileCache?.();

const { Command } = await import('commander');
const { sidecarCommands } = await import('../sidecar/main.ts');

const program = new Command('heddle').description(
  'a service mesh: sidecar, node agent and pilot in one program',
);
sidecarCommands(program);
await program.parseAsync();
