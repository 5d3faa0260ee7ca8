/** The command line of `heddle agent intercept`. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { MeshError, messageOf } from '../../kit/errors.ts';
import {
  type InterceptOptions,
  intercept,
  parsePrefix,
  planInterception,
  stopIntercepting,
} from './intercept.ts';
import type { Namespace } from './nft.ts';
import { type PortRange, parsePortRanges } from './ports.ts';
import { removalRules } from './rules.ts';
import { workloadShape } from './target.ts';

export interface InterceptFlags {
  readonly workload: string;
  readonly remove: boolean;
  readonly dryRun: boolean;
  readonly netns?: string;
  readonly pid?: number;
  readonly user?: string;
  readonly sidecarUser?: string;
  readonly config?: string;
  readonly stateDir: string;
  readonly excludeOutboundPorts: readonly PortRange[];
  readonly excludeInboundPorts: readonly PortRange[];
  readonly excludeOutboundAddresses: readonly string[];
}

export function interceptCommand(
  agent: Command,
  defaultStateDir: string,
  action: (flags: InterceptFlags) => Promise<void>,
): void {
  agent
    .command('intercept')
    .description(
      "lead a workload's connections through its sidecar, whatever the application calls (needs root)",
    )
    .requiredOption(
      '--workload <name>',
      'NAMESPACE/NAME, or NAMESPACE/NAME.INDEX for one of several',
      parseWorkload,
    )
    .option('--remove', 'take the rules away again', false)
    .option('--dry-run', 'print the rules for `nft -f` and change nothing', false)
    .option(
      '--netns <name>',
      "network namespace of the workload's own, by its name (ip netns list)",
      parseNamespace,
    )
    .option('--pid <pid>', "network namespace of the workload's own, by a process in it", parsePid)
    .option('--user <user>', "only this user's connections, where others share the namespace")
    .option('--sidecar-user <user>', 'whose connections are never taken (default: whom the sidecar runs as)')
    .option('--config <file>', 'ask the static file of the sidecar for its ports, not the agent')
    .option('--state-dir <folder>', 'the state folder of the agent', defaultStateDir)
    .option('--exclude-outbound-ports <ports>', 'left alone: 22,9000-9010', rangesReader, [])
    .option('--exclude-inbound-ports <ports>', 'left alone: 22,9000-9010', rangesReader, [])
    .option('--exclude-outbound-addresses <prefixes>', 'left alone: 10.0.0.0/8,fd00::/8', prefixesReader, [])
    .addHelpText(
      'after',
      `
Examples:
  heddle agent intercept --workload shop/orders
  heddle agent intercept --workload shop/orders --netns orders --config orders.json --sidecar-user heddle
  heddle agent intercept --workload shop/orders --exclude-outbound-ports 3306,9000-9010 --dry-run
  heddle agent intercept --workload shop/orders --remove

Without --netns and --pid the rules are put where the command runs, for the user of the workload alone.
Again is as once: the rules are replaced in one step, and connections that stand are not touched.`,
    )
    .action(action);
}

/** Does what the flags say and answers with what to print. Throws MeshError or ParseFailure. */
export async function runIntercept(flags: InterceptFlags, path: string): Promise<string> {
  const options: InterceptOptions = {
    workload: flags.workload,
    namespace: namespaceOf(flags),
    user: flags.user,
    sidecarUser: flags.sidecarUser,
    configFile: flags.config,
    stateDir: resolve(flags.stateDir),
    exclusions: {
      outboundPorts: flags.excludeOutboundPorts,
      inboundPorts: flags.excludeInboundPorts,
      outboundAddresses: flags.excludeOutboundAddresses,
    },
    path,
  };
  if (flags.dryRun) return flags.remove ? removalRules(flags.workload) : planInterception(options);
  return flags.remove ? stopIntercepting(options) : intercept(options);
}

function namespaceOf({ netns, pid }: InterceptFlags): Namespace {
  if (netns !== undefined && pid !== undefined) {
    throw new MeshError('invalid', 'a namespace has either a name or a process: --netns or --pid, not both', {
      origin: 'local',
    });
  }
  if (netns !== undefined) return { kind: 'name', name: netns };
  return pid === undefined ? { kind: 'own' } : { kind: 'pid', pid };
}

function parseWorkload(text: string): string {
  if (workloadShape.test(text)) return text;
  throw new InvalidArgumentError('expected NAMESPACE/NAME or NAMESPACE/NAME.INDEX');
}

function parseNamespace(text: string): string {
  if (/^[\w.-]{1,255}$/.test(text) && text !== '.' && text !== '..') return text;
  throw new InvalidArgumentError('expected the name of a network namespace');
}

function parsePid(text: string): number {
  if (/^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected a process id');
}

function rangesReader(text: string, before: readonly PortRange[]): readonly PortRange[] {
  return [...before, ...checked(() => parsePortRanges(text))];
}

function prefixesReader(text: string, before: readonly string[]): readonly string[] {
  return [...before, ...checked(() => text.split(',').map((part) => parsePrefix(part.trim())))];
}

function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}
