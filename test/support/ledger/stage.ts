/**
 * What a ledger runs through, all processes of their own: the caller's sidecar, and one or more instances of the
 * service, each an application behind a sidecar.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatStaticConfig, parseStaticConfig } from '../../../proto/static-config.ts';
import { defer, type Scope } from '../cleanup.ts';
import { eventually } from '../eventually.ts';
import { freePort, freePorts } from '../free-port.ts';
import { ask } from '../http-app.ts';
import { isAlive } from '../process-table.ts';
import { type RunningProcess, startProcess } from '../processes.ts';
import {
  addressesOf,
  describePair,
  endpointsOf,
  type PairDescription,
  type Side,
  startSidecar,
} from '../static-pair.ts';
import { tempFolder } from '../temp-folder.ts';

export interface StageOptions {
  readonly instances?: number;
  /** Worker processes of the caller's sidecar. */
  readonly workers?: number;
  /** TCP rides on the link. */
  readonly shared?: boolean;
}

export interface Instance {
  readonly app: StagedApp;
  readonly sidecar: StagedSidecar;
}

export interface Stage {
  readonly port: number;
  readonly tcpPort: number;
  readonly caller: StagedSidecar;
  readonly instances: readonly Instance[];
  /** Numbers of what an application heard of more than once though it may be done only once. */
  doubled(): string[];
}

type Mesh = PairDescription['mesh'];

const ports = { http: 80, grpc: 81, tcp: 82 } as const;

export async function startStage(t: Scope, options: StageOptions = {}): Promise<Stage> {
  const { instances: count = 1, workers = 1, shared = false } = options;
  const folder = tempFolder(t);
  const book = join(folder, 'book');
  writeFileSync(book, '');
  const apps: StagedApp[] = [];
  for (let at = 0; at < count; at++) apps.push(new StagedApp(t, await freePorts(3), book));
  for (const app of apps) await app.start();
  const description = await describePair({
    ports: [
      { port: ports.http, appPort: apps[0]?.ports[0] as number, protocol: 'http' },
      { port: ports.grpc, appPort: apps[0]?.ports[1] as number, protocol: 'grpc' },
      { port: ports.tcp, appPort: apps[0]?.ports[2] as number, protocol: 'tcp', shared },
    ],
  });
  const { mesh } = description;
  const instances: Instance[] = [];
  for (const [at, app] of apps.entries()) {
    const side = at === 0 ? description.receiver : await anotherInstance(description.receiver, at, app);
    instances.push({ app, sidecar: new StagedSidecar(t, mesh, side, join(folder, `shop.${at}.json`)) });
  }
  const links = instances.map(({ sidecar }) => sidecar.side.bootstrap.link?.port as number);
  const endpoints = new Map(
    Object.values(ports).map((port) => {
      const { endpoints, ...set } = endpointsOf(mesh, port, links);
      const own = shared && port === ports.tcp;
      return [set.cluster, { ...set, endpoints: endpoints.map((one) => ({ ...one, shared: own })) }];
    }),
  );
  const { caller: alone } = description;
  const callerSide = { ...alone, snapshot: { ...alone.snapshot, endpoints } };
  const caller = new StagedSidecar(t, mesh, callerSide, join(folder, 'web.json'), [
    '--workers',
    String(workers),
  ]);
  for (const { sidecar } of instances) await sidecar.start();
  await caller.start();
  const addresses = addressesOf(callerSide, description.receiver);
  return {
    port: addresses.outboundPort,
    tcpPort: addresses.localPort(ports.tcp),
    caller,
    instances,
    doubled() {
      const seen = readFileSync(book, 'utf8').split('\n').slice(0, -1);
      const once = new Set<string>();
      return seen.filter((seq) => once.size === once.add(seq).size);
    },
  };
}

/** The same service at ports of its own. */
async function anotherInstance(first: Side, at: number, app: StagedApp): Promise<Side> {
  const [outbound = 0, admin = 0] = await freePorts(2);
  const { bootstrap } = first;
  return {
    ...first,
    bootstrap: {
      ...bootstrap,
      instance: `test/shop.${at}@local`,
      link: { hosts: ['127.0.0.1'], port: await freePort() },
      outbound: { hosts: ['127.0.0.1'], port: outbound },
      admin: { port: admin },
      apps: bootstrap.apps.map((one, which) => ({ ...one, appPort: app.ports[which] as number })),
    },
  };
}

/** The application of one instance; a killed one can be started again on its ports. */
export class StagedApp {
  readonly ports: readonly number[];
  readonly #scope: Scope;
  readonly #book: string;
  #process: RunningProcess | undefined;

  constructor(scope: Scope, own: readonly number[], book: string) {
    this.#scope = scope;
    this.ports = own;
    this.#book = book;
  }

  async start(): Promise<void> {
    const args = ['test/support/programs/ledger-app.ts', ...this.ports.map(String), this.#book];
    this.#process = await startProcess(this.#scope, { args });
    await this.#process.printed(/listening/);
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.signal(name);
  }

  async ended(): Promise<void> {
    await this.#process?.exited;
  }
}

/** A sidecar over all the processes that it consists of one after another. */
export class StagedSidecar {
  readonly side: Side;
  readonly #scope: Scope;
  readonly #mesh: Mesh;
  readonly #file: string;
  readonly #args: readonly string[];
  /** All that ever served; successors are no children of the test. */
  readonly #pids: number[] = [];
  #process: RunningProcess | undefined;

  constructor(scope: Scope, mesh: Mesh, side: Side, file: string, args: readonly string[] = []) {
    this.#scope = scope;
    this.#mesh = mesh;
    this.side = side;
    this.#file = file;
    this.#args = args;
  }

  get pid(): number {
    return this.#pids.at(-1) as number;
  }

  async start(): Promise<void> {
    const { account, bootstrap, snapshot } = this.side;
    const bundle = await this.#mesh.bundle(account);
    writeFileSync(
      this.#file,
      formatStaticConfig({ bootstrap, identity: { kind: 'inline', bundle }, snapshot }),
    );
    this.#process = await startSidecar(this.#scope, ['--config', this.#file], { args: this.#args });
    this.#pids.push(this.#process.pid);
    if (this.#pids.length === 1) defer(this.#scope, () => this.#endAll());
  }

  /** Ends it as a crash does; with workers those go too. */
  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL');
    await eventually(() => !isAlive(this.pid));
  }

  /** Writes a new certificate and revision, has a successor started with them, and waits until that one serves. */
  async replace(): Promise<void> {
    const config = parseStaticConfig(readFileSync(this.#file, 'utf8'));
    const { snapshot } = config;
    const version = { ...snapshot.version, revision: snapshot.version.revision + 1 };
    const bundle = await this.#mesh.bundle(this.side.account);
    const identity = { kind: 'inline', bundle } as const;
    writeFileSync(
      this.#file,
      formatStaticConfig({ ...config, identity, snapshot: { ...snapshot, version } }),
    );
    const before = this.pid;
    process.kill(before, 'SIGHUP');
    const next = await eventually(
      async () => {
        const pid = Number(/^heddle_process_pid (\d+)$/m.exec(await this.metrics())?.[1]);
        return pid === before || Number.isNaN(pid) ? undefined : pid;
      },
      { withinMs: 60_000, what: `a successor of ${this.side.account}` },
    );
    this.#pids.push(next);
  }

  async metrics(): Promise<string> {
    const { admin } = this.side.bootstrap;
    return (await ask('port' in admin ? admin.port : 0, { path: '/metrics' })).body;
  }

  /** The last lines of what it printed, successors included. */
  tail(): string {
    return this.#process?.tail() ?? '';
  }

  /** Those of its processes that have not ended yet. */
  get alive(): number[] {
    return this.#pids.filter(isAlive);
  }

  async #endAll(): Promise<void> {
    for (const pid of this.alive) process.kill(pid, 'SIGTERM');
    await eventually(() => this.alive.length === 0, { withinMs: 60_000, what: 'the end of all sidecars' });
  }
}
