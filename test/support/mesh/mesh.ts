/**
 * A whole mesh of processes for one test, on free ports, in a folder of its own: a pilot, node agents, and what they
 * start. Everything is `heddle` as its user has it; only the applications are small ones of ours.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { type AgentStatus, askStatus, type InstanceStatusLine } from '../../../node-agent/control.ts';
import { instanceFiles } from '../../../node-agent/plan/instance-plan.ts';
import { mark as marks } from '../../../node-agent/supervisor/marks.ts';
import { createProcessTable, type MarkedProcess } from '../../../node-agent/supervisor/proc.ts';
import { defer, type Scope } from '../cleanup.ts';
import { eventually } from '../eventually.ts';
import { freePorts } from '../free-port.ts';
import { mark, type RunningProcess, runProcess, startProcess } from '../processes.ts';
import { tempFolder } from '../temp-folder.ts';

export const heddle = [
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, '../../../bin/heddle.mjs'),
];
const app = join(import.meta.dirname, 'app.mjs');
const table = createProcessTable();
/** Cold starts on a loaded machine; alone it takes a second or two. */
const startMs = 60_000;

export interface MeshOptions {
  /** The loopback address of the pilot's agent ports. */
  readonly host?: string;
  /** Flags of `heddle pilot serve` besides ports and data folder. */
  readonly pilotFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
}

export interface Host {
  readonly node: string;
  readonly stateDir: string;
  readonly agent: RunningProcess;
}

type CliResult = Awaited<ReturnType<typeof runProcess>>;

export class Mesh {
  readonly folder: string;
  readonly dataDir: string;
  readonly joinPort: number;
  readonly #scope: Scope;
  readonly #ports: readonly number[];
  readonly #options: MeshOptions;
  readonly #listen: readonly string[];
  readonly #hosts = new Map<string, Host>();
  #pilot: RunningProcess | undefined;
  #files = 0;

  constructor(scope: Scope, ports: readonly number[], options: MeshOptions) {
    const { host = '127.0.0.1' } = options;
    const [grpc, joining, http] = ports.map((port) => `${host}:${port}`);
    this.#scope = scope;
    this.#ports = ports;
    this.#options = options;
    this.folder = tempFolder(scope);
    this.dataDir = join(this.folder, 'pilot');
    this.joinPort = ports[1] ?? 0;
    this.#listen = ['--listen', `${grpc}`, '--join-listen', `${joining}`, '--http', `${http}`];
  }

  /** Another mesh that nobody started yet, on the same ports. */
  sibling(options: MeshOptions): Mesh {
    return new Mesh(this.#scope, this.#ports, options);
  }

  get pilot(): RunningProcess {
    return this.#pilot ?? assert.fail('the pilot was not started');
  }

  /** Starts the pilot, also again over the same data and ports. */
  async startPilot(): Promise<RunningProcess> {
    const args = [...heddle, 'pilot', 'serve', '--data-dir', this.dataDir, ...this.#listen, '--print-ready'];
    const pilot = await startProcess(this.#scope, { args: [...args, ...(this.#options.pilotFlags ?? [])] });
    this.#pilot = pilot;
    await pilot.printed(/\{"ready":true.*\}/, startMs);
    return pilot;
  }

  async killPilot(): Promise<void> {
    this.pilot.signal('SIGKILL');
    await this.pilot.exited;
  }

  /** Starts a node's agent; it joins at its first start and uses its own disk later. */
  async startAgent(node: string, more: readonly string[] = []): Promise<Host> {
    const stateDir = join(this.folder, node);
    const flags = [
      '--node',
      node,
      '--state-dir',
      stateDir,
      '--print-ready',
      ...(this.#options.agentFlags ?? []),
    ];
    if (!this.#hosts.has(node)) {
      defer(this.#scope, () => endMarked(stateDir));
      flags.push('--token', await this.token('--node', node));
    }
    flags.push('--pilot', `127.0.0.1:${this.joinPort}`, ...more);
    const agent = await startProcess(this.#scope, { args: [...heddle, 'agent', 'run', ...flags] });
    const host = { node, stateDir, agent };
    this.#hosts.set(node, host);
    await agent.printed(/"ready":true/, startMs);
    return host;
  }

  host(node: string): Host {
    return this.#hosts.get(node) ?? assert.fail(`there is no host ${node}`);
  }

  async killAgent(node: string): Promise<void> {
    const { agent } = this.host(node);
    agent.signal('SIGKILL');
    await agent.exited;
  }

  async token(...flags: string[]): Promise<string> {
    const { stdout } = await this.good('token', 'create', ...flags);
    const [text] = /heddle1\.\S+/.exec(stdout) ?? assert.fail(stdout);
    return text;
  }

  /** `heddle pilot …` as a process. */
  cli(...args: string[]): Promise<CliResult> {
    return runProcess(this.#scope, {
      args: [...heddle, 'pilot', ...args],
      env: { HEDDLE_DATA: this.dataDir },
    });
  }

  /** The same, and it succeeds. */
  async good(...args: string[]): Promise<CliResult> {
    const result = await this.cli(...args);
    assert.equal(result.code, 0, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
    return result;
  }

  /** `heddle pilot apply` of this text. */
  async apply(yaml: string): Promise<CliResult> {
    return await this.good('apply', '-f', this.file(yaml));
  }

  /** A file with this text in the test's folder. */
  file(text: string): string {
    this.#files += 1;
    const path = join(this.folder, `${this.#files}.yaml`);
    writeFileSync(path, text);
    return path;
  }

  /** The HTTP API with the pilot's own token; throws what it refuses. */
  async api(method: string, path: string, body?: unknown): Promise<unknown> {
    const { url, token } = JSON.parse(readFileSync(join(this.dataDir, 'client.json'), 'utf8')) as {
      url: string;
      token: string;
    };
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  status(node: string): Promise<AgentStatus> {
    return askStatus(this.host(node).stateDir);
  }

  /** `NAMESPACE/WORKLOAD.INDEX@NODE` as its agent sees it now. */
  async instance(id: string): Promise<InstanceStatusLine> {
    const { instances } = await this.status(id.slice(id.indexOf('@') + 1));
    return instances.find((each) => each.id === id) ?? assert.fail(`${id} is not there`);
  }

  /** Waits until every one of these instances is ready. */
  async ready(...ids: string[]): Promise<void> {
    for (const id of ids) {
      await eventually(async () => (await this.instance(id)).state === 'ready', {
        what: `${id} is ready`,
        withinMs: startMs,
        everyMs: 50,
      });
    }
  }

  /** The running processes of an instance. */
  processes(id: string, role?: 'app' | 'sidecar'): MarkedProcess[] {
    const { stateDir } = this.host(id.slice(id.indexOf('@') + 1));
    const found = table.marked(marks.stateDir, stateDir).filter(({ env }) => env[marks.instance] === id);
    return found.filter(({ env }) => role === undefined || env[marks.role] === role);
  }

  /** What the instance's application was told. */
  environment(id: string): Readonly<Record<string, string>> {
    return this.processes(id, 'app')[0]?.env ?? assert.fail(`${id} does not run`);
  }

  /** The port of the instance's sidecar where services are named by `Host`. */
  proxy(id: string): number {
    return Number(new URL(this.environment(id)['HEDDLE_PROXY'] ?? '').port);
  }

  /** What the admin page of an instance's sidecar answers, as JSON. */
  admin(id: string, path: string): Promise<unknown> {
    const { stateDir } = this.host(id.slice(id.indexOf('@') + 1));
    const socketPath = instanceFiles(stateDir, id).adminSocket;
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve(JSON.parse(text)));
        response.on('error', reject);
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  /** The endpoints that an instance's sidecar knows of a cluster (`shop/api:80`), as `ID STATE`. */
  async endpoints(id: string, cluster: string): Promise<string[]> {
    const clusters = (await this.admin(id, '/clusters')) as {
      name: string;
      endpoints: { id: string; state: string }[];
    }[];
    const found = clusters.find(({ name }) => name === cluster);
    return (found?.endpoints ?? []).map(({ id: endpoint, state }) => `${endpoint} ${state}`).sort();
  }

  /** What an instance wrote: `access.log`, `sidecar.err.log`, `app.out.log`. */
  log(id: string, file: string): string {
    const { stateDir } = this.host(id.slice(id.indexOf('@') + 1));
    const path = join(stateDir, 'logs', id.slice(0, id.lastIndexOf('@')).replace('/', '.'), file);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

/** A pilot with these agents and nothing else. */
export async function startMesh(
  scope: Scope,
  nodes: readonly string[],
  options: MeshOptions = {},
): Promise<Mesh> {
  const mesh = new Mesh(scope, await freePorts(3), options);
  await mesh.startPilot();
  await Promise.all(nodes.map((node) => mesh.startAgent(node)));
  return mesh;
}

export interface WorkloadOptions {
  readonly node: string;
  readonly calls?: readonly string[];
  readonly version?: string;
  readonly replicas?: number;
  /** What comes of further fields of `spec`, as YAML. */
  readonly more?: string;
}

/** A workload of the test's application, labelled by its name before the first `-`. */
export function workloadYaml(
  name: string,
  { node, calls = [], version = '', replicas = 1, more = '' }: WorkloadOptions,
) {
  const [service] = name.split('-');
  return `---
apiVersion: heddle/v1
kind: Workload
metadata: { name: ${name}, namespace: shop, labels: { app: ${service}, workload: ${name} } }
spec:
  node: ${node}
  replicas: ${replicas}
  command: [${JSON.stringify(process.execPath)}, ${JSON.stringify(app)}, mark=${mark}]
  env: { VERSION: '${version}' }
  ports: [{ name: http, port: 8080, protocol: http }]
  calls: ${JSON.stringify(calls.map((call) => ({ service: call })))}
  readiness: { http: { path: /, port: 8080 }, interval: 100ms }
  accessLog: all
  ${more}
`;
}

/** A service of port 80 over the workloads with this label. */
export function serviceYaml(name: string, selector: string = `app: ${name}`): string {
  return `---
apiVersion: heddle/v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { selector: { ${selector} }, ports: [{ name: http, port: 80, targetPort: http }] }
`;
}

/** Whether callers of the shop need a certificate. */
export function peerYaml(mode: 'STRICT' | 'PERMISSIVE'): string {
  return `---
apiVersion: heddle/v1
kind: PeerAuthentication
metadata: { name: shop, namespace: shop }
spec: { mtls: { mode: ${mode} } }
`;
}

/** Ends what an agent with this state folder left running. */
async function endMarked(stateDir: string): Promise<void> {
  const running = () => table.marked(marks.stateDir, stateDir);
  await eventually(() => {
    for (const { ref } of running()) table.kill(ref.pid, 'SIGKILL', 'process');
    return running().length === 0;
  });
}
