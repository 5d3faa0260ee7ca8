/** `heddle pilot`: the only reader of the environment and caller of `process.exit` in the pilot. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../kit/clock.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import { createLog, type LogLevel } from '../kit/log.ts';
import { systemRandom } from '../kit/random.ts';
import { isTrustDomain } from '../mesh/identity.ts';
import { durationMs } from '../mesh/resource/duration.ts';
import { defaultDataFolder } from './api/client-file.ts';
import { addBuildCommand } from './build/command.ts';
import { pilotClientCommands } from './cli/commands.ts';
import type { Address, SecretSource } from './pilot.ts';
import type { StoreOptions } from './store/index.ts';

interface ServeFlags {
  readonly dataDir: string;
  readonly store: 'embedded' | 'etcd';
  readonly etcdEndpoints?: readonly string[];
  readonly listen: Address;
  readonly joinListen: Address;
  readonly http: Address;
  readonly httpCert?: string;
  readonly httpKey?: string;
  readonly advertise?: string;
  readonly trustDomain: string;
  readonly caKeyFile?: string;
  readonly leafLifetime?: number;
  readonly newEpoch: boolean;
  readonly allowShortLifetimes: boolean;
  readonly logLevel: LogLevel;
  readonly printReady: boolean;
}

/** systemd puts credentials into the folder that this variable names (systemd.exec(5), LoadCredential). */
const { CREDENTIALS_DIRECTORY: credentialsFolder } = process.env;
const credentialName = 'heddle-ca-key';

/** How long an orderly end may take before the process ends anyway. */
const closeMs = 10_000;

export function pilotCommands(program: Command): void {
  const pilot = program
    .command('pilot')
    .description('the control plane: serve it, ask it, change what it knows')
    .addHelpText(
      'after',
      `
Examples:
  heddle pilot serve
  heddle pilot apply -f ./resources
  heddle pilot get services -A
  heddle pilot status

heddle pilot COMMAND --help says more.`,
    );
  addServeCommand(pilot);
  addBuildCommand(pilot);
  pilotClientCommands(pilot, {
    env: process.env,
    clock: systemClock,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    readInput: () => readFileSync(0, 'utf8'),
    exit: (code) => {
      process.exitCode = code;
    },
  });
}

function addServeCommand(pilot: Command): void {
  pilot
    .command('serve')
    .description('run a pilot: configuration and certificates for node agents, and the HTTP API')
    .option(
      '--data-dir <folder>',
      'token, client file and embedded store (mode 0700)',
      defaultDataFolder(process.env),
    )
    .addOption(
      new Option('--store <kind>', 'where resources are kept')
        .choices(['embedded', 'etcd'])
        .default('embedded'),
    )
    .option('--etcd-endpoints <url...>', 'http://HOST:PORT of each etcd (with --store etcd)')
    .addOption(addressOption('--listen', 'gRPC for agents that have joined', '0.0.0.0:15011'))
    .addOption(addressOption('--join-listen', 'gRPC for agents that join', '0.0.0.0:15012'))
    .addOption(addressOption('--http', 'HTTP API; plaintext on loopback only', '127.0.0.1:15080'))
    .option('--http-cert <file>', 'certificate chain (PEM) of the API, needed beyond loopback')
    .option('--http-key <file>', 'its private key (PEM)')
    .option('--advertise <host:port>', 'told to agents that join, instead of the host they joined at')
    .option('--trust-domain <name>', 'trust domain of SPIFFE names', trustDomain, 'mesh.local')
    .option('--ca-key-file <file>', "secret that opens the CA's keys, at least 32 bytes, mode 0600")
    .option('--leaf-lifetime <duration>', 'how long certificates live: 90m, 6h (72h unless said)', lifetime)
    .option('--allow-short-lifetimes', 'accept certificate lifetimes under a minute (tests)', false)
    .option(
      '--new-epoch',
      'count as newer than all before: once, after a backup was put back in place',
      false,
    )
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option('--print-ready', 'print one JSON line on standard output when serving', false)
    .addHelpText(
      'after',
      `
A port of 0 takes a free one; --print-ready says which. On the same machine and user, commands such as
\`heddle pilot apply\` find the API and its token in the data folder by themselves.

Examples:
  heddle pilot serve
  heddle pilot serve --data-dir ./pilot --listen 0.0.0.0:0 --join-listen 0.0.0.0:0 --http 127.0.0.1:0 --print-ready
  heddle pilot serve --store etcd --etcd-endpoints http://10.0.0.2:2379 --ca-key-file /etc/heddle/ca-key

The CA's keys are encrypted at rest. With the embedded store the secret is made at the first start (ca-key in
the data folder) unless --ca-key-file names one; with etcd all pilots need the same: a file, or a systemd
credential named ${credentialName}.`,
    )
    .action((flags: ServeFlags) => serve(flags));
}

async function serve(flags: ServeFlags): Promise<void> {
  const log = createLog({ program: 'pilot', level: flags.logLevel });
  const starting = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    const stop = () => {
      starting.abort(new MeshError('unavailable', 'stopped while starting', { origin: 'local' }));
      resolve();
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
  });
  // Our timers hold no process, and while the store is awaited there may be nothing else.
  const held = new MessageChannel();
  held.port1.on('message', () => {});
  try {
    // Loaded here, because the other commands need neither gRPC nor the authority.
    const { startPilot } = await import('./pilot.ts');
    const pilot = await startPilot({
      dataFolder: flags.dataDir,
      store: { kind: flags.store, options: storeOptions(flags) },
      trustDomain: flags.trustDomain,
      listen: flags.listen,
      joinListen: flags.joinListen,
      api: { ...flags.http, ...apiTls(flags) },
      advertise: flags.advertise,
      secret: secretSource(flags),
      leafLifetimeMs: flags.leafLifetime,
      allowShortLifetimes: flags.allowShortLifetimes,
      newEpoch: flags.newEpoch,
      clock: systemClock,
      random: systemRandom,
      log,
      signal: starting.signal,
    });
    const where = { grpcPort: pilot.grpcPort, joinPort: pilot.joinPort, http: pilot.apiUrl };
    log.info('pilot ready', where);
    if (flags.printReady) {
      const line = { ready: true, pid: process.pid, dataDir: flags.dataDir, ...where };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    }
    await stopped;
    log.info('pilot ends');
    systemClock.after(closeMs, () => process.exit(0));
    await pilot.close();
    process.exit(0);
  } catch (thrown) {
    process.stderr.write(`heddle pilot: ${problemText(thrown, flags)}\n`);
    process.exit(starting.signal.aborted ? 0 : 1);
  } finally {
    held.port1.close();
  }
}

function storeOptions(flags: ServeFlags): StoreOptions {
  if (flags.store === 'embedded') return { embedded: { path: join(flags.dataDir, 'pilot.db') } };
  return { etcd: { hosts: flags.etcdEndpoints ?? ['http://127.0.0.1:2379'] } };
}

function apiTls({ httpCert, httpKey }: ServeFlags): { tls?: { cert: string; key: string } } {
  if (httpCert === undefined && httpKey === undefined) return {};
  if (httpCert === undefined || httpKey === undefined) {
    throw new MeshError('invalid', '--http-cert and --http-key belong together: give both', {
      origin: 'local',
    });
  }
  return { tls: { cert: readFileSync(httpCert, 'utf8'), key: readFileSync(httpKey, 'utf8') } };
}

function secretSource(flags: ServeFlags): SecretSource {
  if (flags.caKeyFile !== undefined) return { path: flags.caKeyFile, source: 'file', mayCreate: false };
  const credential = credentialsFolder === undefined ? undefined : join(credentialsFolder, credentialName);
  if (credential !== undefined && existsSync(credential)) {
    return { path: credential, source: 'credential', mayCreate: false };
  }
  const mayCreate = flags.store === 'embedded';
  return { path: join(flags.dataDir, 'ca-key'), source: 'file', mayCreate };
}

/** One line: what went wrong, with which, and what to do. */
function problemText(thrown: unknown, flags: ServeFlags): string {
  if (thrown instanceof MeshError) return thrown.message.replaceAll('\n', ' ');
  const { code } = thrown as NodeJS.ErrnoException;
  const hint = code === undefined ? undefined : hints[code];
  if (hint !== undefined) return `${messageOf(thrown)}: ${hint.replace('DATA', flags.dataDir)}`;
  return thrown instanceof Error && thrown.stack !== undefined ? thrown.stack : messageOf(thrown);
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; make room on the disk of DATA',
  EROFS: 'DATA is read-only; choose another folder with --data-dir',
  EACCES: 'permission denied; run as the owner of DATA or choose another folder with --data-dir',
  EPERM: 'not permitted; run as the owner of DATA or choose another folder with --data-dir',
  ENOENT: 'there is no such file; check the path',
  ENOTDIR: 'a part of the path is no folder; check --data-dir',
};

/** An option of an address; shown in the help as it is typed. */
function addressOption(flag: string, description: string, byDefault: string): Option {
  return new Option(`${flag} <host:port>`, description)
    .argParser(address)
    .default(address(byDefault), byDefault);
}

function address(text: string): Address {
  const [, v6, name, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? name;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new InvalidArgumentError('expected HOST:PORT, such as 127.0.0.1:15011 or [::1]:0.');
  }
  return { host, port };
}

function trustDomain(text: string): string {
  if (isTrustDomain(text)) return text;
  throw new InvalidArgumentError('expected lower-case letters, digits, hyphens, underscores and dots.');
}

function lifetime(text: string): number {
  const ms = durationMs(text);
  if (ms === undefined || ms === 0)
    throw new InvalidArgumentError('expected a duration such as 72h, 90m or 30s.');
  return ms;
}
