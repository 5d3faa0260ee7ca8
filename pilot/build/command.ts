/** `heddle pilot build`: prints the static file of one sidecar from resource files, with no pilot running. */
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { writeFileAtomic } from '../../kit/atomic-file.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import { ParseFailure, showProblem } from '../../kit/parse.ts';
import { isTrustDomain } from '../../mesh/identity.ts';
import { formatStaticConfig, type StaticIdentity } from '../../proto/static-config.ts';
import { findings } from './findings.ts';
import { readResourceFiles } from './read-files.ts';
import { offlineWorld, staticConfig } from './static.ts';
import { tellFindings } from './tell-findings.ts';

export interface BuildFlags {
  readonly file: readonly string[];
  readonly workload: string;
  readonly node?: string;
  readonly trustDomain: string;
  readonly identity?: string;
  readonly host: readonly string[];
  readonly loopback: readonly string[];
  readonly outboundPort: number;
  readonly linkPort: number;
  readonly adminPort: number;
  readonly allowShortLifetimes?: boolean;
  readonly output?: string;
}

/** Where a command's words go. */
export interface CommandOutput {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Adds `build` below `pilot`. */
export function addBuildCommand(pilot: Command): void {
  pilot
    .command('build')
    .description('print the static file of one sidecar, from resource files and offline')
    .requiredOption(
      '-f, --file <path...>',
      'files or folders of resources (YAML or JSON), - for standard input',
    )
    .requiredOption('--workload <name>', 'whose sidecar: NAME or NAMESPACE/NAME')
    .option('--node <name>', "the node it runs on (the Workload's own, else local)")
    .option('--trust-domain <name>', 'the trust domain of SPIFFE names', trustDomain, 'mesh.local')
    .option(
      '--identity <folder>',
      'folder with key.pem, chain.pem and trust.pem; without it no links are served',
    )
    .option('--host <address...>', 'addresses on which others reach the sidecar', ['0.0.0.0'])
    .option('--loopback <address...>', 'local addresses for the application', ['127.0.0.1'])
    .option('--outbound-port <port>', "the application's way in by Host", portNumber, 15_001)
    .option('--link-port <port>', 'where links of callers come in', portNumber, 15_002)
    .option('--admin-port <port>', 'readiness, metrics and drain, on loopback', portNumber, 15_000)
    .option('--allow-short-lifetimes', 'accept certificates that live under a minute')
    .option('-o, --output <file>', 'write there instead of standard output')
    .addHelpText(
      'after',
      `
Examples:
  heddle pilot build -f ./resources --workload web > web.json
  heddle pilot build -f ./resources --workload shop/orders --identity /etc/orders/tls -o orders.json
  heddle sidecar run --config web.json

Endpoints come from ServiceInstance resources: offline nobody knows what runs where.`,
    )
    .action((flags: BuildFlags) => {
      process.exitCode = runBuild(flags, {
        out: (text) => process.stdout.write(text),
        err: (text) => process.stderr.write(text),
      });
    });
}

/** Answers with the exit code; nothing is written unless everything is right. */
export function runBuild(flags: BuildFlags, output: CommandOutput): number {
  try {
    const resources = readResourceFiles(flags.file);
    const config = staticConfig(resources, {
      workload: flags.workload,
      node: flags.node,
      trustDomain: flags.trustDomain,
      hosts: flags.host,
      loopback: flags.loopback,
      outboundPort: flags.outboundPort,
      linkPort: flags.linkPort,
      adminPort: flags.adminPort,
      identity: identityOf(flags.identity),
      allowShortLifetimes: flags.allowShortLifetimes === true,
    });
    tellFindings(findings(offlineWorld(resources, flags.trustDomain)), output.err);
    const text = formatStaticConfig(config);
    if (flags.output === undefined) output.out(text);
    else writeFileAtomic(flags.output, text);
    return 0;
  } catch (thrown) {
    for (const line of linesOf(thrown)) output.err(`${line}\n`);
    return 1;
  }
}

/** What was wrong, one line each. Anything unexpected is a bug and keeps its stack. */
function linesOf(thrown: unknown): string[] {
  if (thrown instanceof ParseFailure) return thrown.problems.map(showProblem);
  if (thrown instanceof MeshError || (thrown as { code?: unknown }).code !== undefined)
    return [messageOf(thrown)];
  throw thrown;
}

function identityOf(folder: string | undefined): StaticIdentity {
  if (folder === undefined) return { kind: 'none' };
  const files = {
    privateKey: join(folder, 'key.pem'),
    certificateChain: join(folder, 'chain.pem'),
    trustBundle: join(folder, 'trust.pem'),
  };
  return { kind: 'files', files };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('expected a port from 1 to 65535.');
}

function trustDomain(text: string): string {
  if (isTrustDomain(text)) return text;
  throw new InvalidArgumentError('expected lower-case letters, digits, hyphens, underscores and dots.');
}
