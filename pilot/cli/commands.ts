/**
 * The commands that talk to a running pilot, in the manner of kubectl. Registering them loads nothing: each
 * loads what it needs when it runs.
 */
import type { Command } from 'commander';
import type { ConnectionFlags } from './connection.ts';
import type { CommandContext, CommandIo } from './context.ts';

/** Ends the process's part of a command: sets the exit code after the lines were written. */
export interface ClientCommandsIo extends CommandIo {
  exit(code: number): void;
}

const collect = (value: string, before: readonly string[] | undefined) => [...(before ?? []), value];

/** Adds `apply`, `get`, `describe`, `delete`, `token` and `status` to `program` (`heddle pilot`). */
export function pilotClientCommands(program: Command, io: ClientCommandsIo): void {
  const run = runner(io);

  clientCommand(program, 'apply')
    .description('make resources take force, all of them or none')
    .requiredOption(
      '-f, --filename <path>',
      'a file, a folder, or - for standard input; may be repeated',
      collect,
    )
    .option('--dry-run', 'say what would change and change nothing')
    .option('--prune', 'also delete what is in the namespaces of these files and not in them')
    .addHelpText(
      'after',
      '\nExamples:\n  heddle pilot apply -f shop.yaml\n  heddle pilot apply -f policies/ --dry-run',
    )
    .action((flags) => run(flags, async (context) => (await import('./apply.ts')).apply(context, flags)));

  clientCommand(program, 'get')
    .description('list resources, nodes or instances')
    .argument('<kind>', 'such as service, httproutes, svc, nodes, instances')
    .argument('[name]', 'one of them')
    .option('-n, --namespace <name>', 'the namespace', 'default')
    .option('-A, --all-namespaces', 'those of every namespace')
    .option('-o, --output <form>', 'table, wide, yaml or json', 'table')
    .addHelpText(
      'after',
      '\nExamples:\n  heddle pilot get services -A\n  heddle pilot get httproute orders -n shop -o yaml',
    )
    .action((kind: string, name: string | undefined, flags) =>
      run(flags, async (context) => {
        checkOutput(program, flags.output, ['table', 'wide', 'yaml', 'json']);
        await (await import('./get.ts')).get(context, kind, name, flags);
      }),
    );

  clientCommand(program, 'describe')
    .description('show one thing with everything that is tied to it')
    .argument('<kind>', 'such as service, httproute, svc, node, instance')
    .argument('<name>', 'which one')
    .option('-n, --namespace <name>', 'the namespace', 'default')
    .addHelpText('after', '\nExamples:\n  heddle pilot describe service orders -n shop')
    .action((kind: string, name: string, flags) =>
      run(flags, async (context) => (await import('./describe.ts')).describe(context, kind, name, flags)),
    );

  clientCommand(program, 'delete')
    .description('delete resources, all of them or none')
    .argument('[kind]', 'such as service, httproute, svc; with -f it says each by itself')
    .argument('[names...]', 'which ones')
    .option(
      '-f, --filename <path>',
      'what the resources of this file, folder or - are; may be repeated',
      collect,
    )
    .option('-n, --namespace <name>', 'the namespace', 'default')
    .option('--dry-run', 'say what would be deleted and delete nothing')
    .addHelpText(
      'after',
      '\nExamples:\n  heddle pilot delete httproute orders -n shop\n  heddle pilot delete -f shop.yaml',
    )
    .action((kind: string | undefined, names: string[], flags) =>
      run(flags, async (context) => (await import('./apply.ts')).remove(context, kind, names, flags)),
    );

  const token = program
    .command('token')
    .description('join tokens for nodes')
    .addHelpText('after', '\nExamples:\n  heddle pilot token create --node web-1');
  clientCommand(token, 'create')
    .description('make a token with which one node may join once')
    .option('--node <name>', 'only this node may use it')
    .option('--ttl <time>', 'how long it may be used: 90s, 10m, 2h, 7d (10m unless said)')
    .addHelpText(
      'after',
      '\nExamples:\n  heddle agent run --pilot ADDR --token "$(heddle pilot token create)"',
    )
    .action((flags) =>
      run(flags, async (context) => (await import('./token.ts')).createToken(context, flags)),
    );

  clientCommand(program, 'status')
    .description('show for every sidecar what it runs, what is pending and what it refused')
    .option('-o, --output <form>', 'table or json', 'table')
    .addHelpText('after', '\nExamples:\n  heddle pilot status\n  heddle pilot status -o json')
    .action((flags) =>
      run(flags, async (context) => {
        checkOutput(program, flags.output, ['table', 'json']);
        await (await import('./status.ts')).status(context, flags);
      }),
    );
}

function clientCommand(parent: Command, name: string): Command {
  return parent
    .command(name)
    .option('--pilot <url>', "the pilot's API (HEDDLE_PILOT; else the pilot of this machine)")
    .option('--token-file <file>', 'holds the API token (HEDDLE_TOKEN)')
    .option('--ca <file>', "PEM that the pilot's certificate is checked against (HEDDLE_CA)")
    .option('--data-dir <folder>', 'the data folder of a pilot on this machine (HEDDLE_DATA)');
}

function checkOutput(program: Command, form: string, allowed: readonly string[]): void {
  if (!allowed.includes(form))
    program.error(`error: -o takes ${allowed.join(', ')}, not '${form}'`, { exitCode: 2 });
}

type Work = (context: CommandContext) => Promise<void>;

function runner(io: ClientCommandsIo): (flags: ConnectionFlags, work: Work) => Promise<void> {
  return async (flags, work) => {
    const { CommandFailure } = await import('./failure.ts');
    try {
      const { findConnection } = await import('./connection.ts');
      const { createPilotClient } = await import('./client.ts');
      await work({ io, client: createPilotClient(findConnection(flags, io.env)) });
    } catch (thrown) {
      if (!(thrown instanceof CommandFailure)) throw thrown;
      for (const line of thrown.lines) io.err(`${line}\n`);
      io.exit(thrown.exitCode);
    }
  };
}
