/** `heddle agent`: the only reader of the environment and caller of `process.exit` in the node agent. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../kit/clock.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import { createLog, type LogLevel } from '../kit/log.ts';
import { systemRandom } from '../kit/random.ts';
import { type OutboundPolicy, sidecarNodeFlags } from '../mesh/bootstrap.ts';
import { type RunningAgent, startAgent } from './agent.ts';
import { askStatus } from './control.ts';
import { interceptCommand, runIntercept } from './intercept/command.ts';
import { parseHostPort } from './pilot/address.ts';
import { renderStatus } from './status-table.ts';

interface RunFlags {
  readonly pilot: readonly string[];
  readonly token?: string;
  readonly tokenFile?: string;
  readonly joinTimeout: number;
  readonly node: string;
  readonly label: Readonly<Record<string, string>>;
  readonly stateDir: string;
  readonly address: readonly string[];
  readonly network: string;
  readonly region: string;
  readonly zone: string;
  readonly onStop: 'leave' | 'stop';
  readonly transparent?: OutboundPolicy;
  readonly sidecarUser?: string;
  readonly allowShortLifetimes: boolean;
  readonly heddleBinary?: string;
  readonly logLevel: LogLevel;
  readonly printReady: boolean;
}

export function agentCommands(program: Command): void {
  const agent = program
    .command('agent')
    .description('the agent of one host: runs services and their sidecars')
    .addHelpText(
      'after',
      '\nExamples:\n  heddle agent run --pilot 10.0.0.5:15012 --token-file ./token\n  heddle agent status',
    );
  agent
    .command('run')
    .description('join the mesh where that is not done yet, and run what is placed on this node')
    .option('--pilot <host:port>', 'join address of a pilot; may be given several times', addPilot, [])
    .option('--token <token>', 'join token (heddle pilot token create); needed once')
    .option('--token-file <file>', 'file that holds the join token, instead of --token')
    .option('--join-timeout <seconds>', 'how long to wait for a pilot to join', parseSeconds, 20)
    .option('--node <name>', 'name of this node', defaultNode())
    .option('--label <key=value>', 'label of this node; may be given several times', addLabel, {})
    .option(
      '--state-dir <folder>',
      'where keys, ports, last good configuration and logs are',
      defaultStateDir(),
    )
    .option(
      '--address <ip>',
      'address by which other nodes reach this one; may be given several times',
      addAddress,
      [],
    )
    .option('--network <name>', 'network of that address', 'default')
    .option('--region <name>', 'region of this node', '')
    .option('--zone <name>', 'zone of this node', '')
    .addOption(
      new Option('--on-stop <what>', 'on SIGTERM: leave what runs to the next agent, or stop it')
        .choices(['leave', 'stop'])
        .default('leave'),
    )
    .addOption(
      new Option(
        '--transparent [policy]',
        'let sidecars take intercepted connections (heddle agent intercept); out to anywhere, or to services only',
      )
        .choices(['allow_any', 'registry_only'])
        .preset('allow_any'),
    )
    .option('--sidecar-user <user>', 'run sidecars as this user, not as that of their workload (needs root)')
    .option('--allow-short-lifetimes', 'accept certificates of less than a minute (tests)', false)
    .option('--heddle-binary <file>', 'the heddle that runs sidecars, instead of this one')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option('--print-ready', 'print one JSON line on standard output once it runs', false)
    .addHelpText(
      'after',
      `
Examples:
  heddle agent run --pilot 10.0.0.5:15012 --token "$(cat join-token)" --label disk=ssd
  heddle agent run --node edge-1 --state-dir ./edge-1 --pilot localhost:15012 --token-file ./token

The token is needed once: later starts use what is in the state folder, also when no pilot answers.
SIGTERM ends the agent and leaves what it started running (see --on-stop); the next agent with the same
state folder takes it over. SIGINT (Ctrl-C) drains the sidecars and stops everything.`,
    )
    .action((flags: RunFlags) => run(flags));
  agent
    .command('status')
    .description('what the agent of this host runs, from its own socket, pilot or not')
    .option('--state-dir <folder>', 'the state folder of that agent', defaultStateDir())
    .option('--json', 'as JSON', false)
    .addHelpText(
      'after',
      '\nExamples:\n  heddle agent status\n  heddle agent status --state-dir ./edge-1 --json',
    )
    .action((flags: { stateDir: string; json: boolean }) => status(flags));
  interceptCommand(agent, defaultStateDir(), async (flags) => {
    // Users' paths often lack the folders of what only root may use.
    const { PATH: path = '' } = process.env;
    await runIntercept(flags, `${path}:/usr/sbin:/sbin`).then(
      (text) => process.stdout.write(`${text.trimEnd()}\n`),
      fail,
    );
  });
}

async function run(flags: RunFlags): Promise<void> {
  const log = createLog({ program: 'agent', level: flags.logLevel });
  let running: RunningAgent | undefined;
  let ending: 'no' | 'yes' = 'no';
  const end = (processes: 'leave' | 'stop'): void => {
    if (ending === 'yes') return;
    ending = 'yes';
    log.info('agent ends', { processes });
    if (running === undefined) process.exit(0);
    running.close(processes).then(() => process.exit(0), fail);
  };
  process.on('SIGTERM', () => end(flags.onStop));
  process.on('SIGINT', () => end('stop'));
  try {
    const stateDir = resolve(flags.stateDir);
    running = await startAgent({
      node: flags.node,
      pilots: flags.pilot,
      token: flags.token ?? (flags.tokenFile === undefined ? undefined : readToken(flags.tokenFile)),
      joinPatienceMs: flags.joinTimeout * 1000,
      stateDir,
      labels: flags.label,
      addresses: flags.address,
      network: flags.network,
      locality: { region: flags.region, zone: flags.zone },
      transparent: flags.transparent,
      sidecarUser: flags.sidecarUser,
      allowShortLifetimes: flags.allowShortLifetimes,
      heddle: heddleCommand(flags.heddleBinary),
      env: process.env,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    log.info('agent runs', { node: flags.node, stateDir });
    if (flags.printReady) {
      process.stdout.write(
        `${JSON.stringify({ ready: true, node: flags.node, pid: process.pid, stateDir })}\n`,
      );
    }
  } catch (error) {
    fail(error);
  }
}

async function status({ stateDir, json }: { stateDir: string; json: boolean }): Promise<void> {
  try {
    const answer = await askStatus(resolve(stateDir));
    process.stdout.write(json ? `${JSON.stringify(answer)}\n` : renderStatus(answer));
  } catch (error) {
    fail(error);
  }
}

/** This very program as sidecars run it, however it was started: from sources, a bundle, or as a single executable. */
function heddleCommand(binary: string | undefined): readonly string[] {
  const script = binary ?? process.argv[1];
  if (script === undefined || script === process.execPath) return [process.execPath];
  if (!/\.[cm]?[jt]s$/.test(script)) return [script];
  return [process.execPath, '--disable-warning=ExperimentalWarning', ...sidecarNodeFlags, script];
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new MeshError('invalid', `the join token cannot be read: ${messageOf(cause)}`, {
      origin: 'local',
      cause,
    });
  }
}

function defaultNode(): string {
  return hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, '-');
}

function defaultStateDir(): string {
  const { XDG_STATE_HOME: stateHome } = process.env;
  if (process.getuid?.() === 0) return '/var/lib/heddle/agent';
  return join(stateHome ?? join(homedir(), '.local', 'state'), 'heddle', 'agent');
}

function parseSeconds(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('expected whole seconds');
  return Number(text);
}

function addPilot(text: string, before: readonly string[]): readonly string[] {
  try {
    parseHostPort(text);
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
  return [...before, text];
}

function addAddress(text: string, before: readonly string[]): readonly string[] {
  if (isIP(text) === 0) throw new InvalidArgumentError('expected a literal IPv4 or IPv6 address');
  return [...before, text];
}

function addLabel(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('expected KEY=VALUE');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

function fail(error: unknown): void {
  process.stderr.write(`heddle agent: ${messageOf(error)}\n`);
  process.exit(1);
}
