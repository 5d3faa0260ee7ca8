/** The command line of the one executable: loads the program that is asked for, and nothing of the others. */
import type { Command } from 'commander';

interface Program {
  readonly description: string;
  /** Registers the program's commands. */
  load(): Promise<(root: Command) => void>;
}

const programs: Readonly<Record<string, Program>> = {
  sidecar: {
    description: 'the data plane beside one service instance',
    load: async () => (await import('../sidecar/main.ts')).sidecarCommands,
  },
  agent: {
    description: 'the agent of one host: runs services and their sidecars',
    load: async () => (await import('../node-agent/main.ts')).agentCommands,
  },
  pilot: {
    description: 'the control plane: serve it, ask it, change what it knows',
    load: async () => (await import('../pilot/main.ts')).pilotCommands,
  },
};

const examples = `
Examples:
  heddle pilot serve                                   a control plane on this machine
  heddle pilot token create --node web-1               a token for a host that shall join
  heddle agent run --pilot 10.0.0.5:15012 --token T    run what is placed on this host
  heddle pilot apply -f ./resources                    change services, routes and policies
  heddle sidecar run --config web.json                 one sidecar from a file, without the rest

heddle PROGRAM --help and heddle PROGRAM COMMAND --help say more.`;

/** Runs what `argv` asks for; resolves when the command has been given to its program. */
export async function runCommandLine(argv: readonly string[], version: string): Promise<void> {
  const [, , first = '--help'] = argv;
  const { Command } = await import('commander');
  const { helpStyle } = await import('./help-style.ts');
  const root = new Command('heddle')
    .description('a service mesh: sidecars, node agents, pilots')
    .version(version, '-V, --version', 'print the version')
    .addHelpText('after', examples)
    .configureHelp(helpStyle);
  // `heddle help PROGRAM` is about that program too.
  const asked = first === 'help' ? (argv[3] ?? '') : first;
  const program = Object.hasOwn(programs, asked) ? programs[asked] : undefined;
  if (program !== undefined) {
    const register = await program.load();
    register(root);
  } else {
    for (const [name, { description }] of Object.entries(programs))
      root.command(name).description(description);
  }
  pointToOwnHelp(root);
  const given = argv.length > 2 ? [...argv] : [...argv, '--help'];
  await root.parseAsync(given);
}

/** Whoever calls a command in a wrong way is led to the help of that command. */
function pointToOwnHelp(command: Command, above = ''): void {
  const name = `${above}${command.name()}`;
  command.showHelpAfterError(`(${name} --help says more)`);
  for (const one of command.commands) pointToOwnHelp(one, `${name} `);
}
