/** The shop in a mesh: a pilot, two node agents, the resources, and waiting until everything answers. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type AgentStatus, askAgent, environmentOf, type Instance } from './agent-status.ts';
import { type KeptProcess, keepProcess } from './kept-process.ts';
import { endLeftovers, folderPrefix, noteLauncher, noteName } from './leftovers.ts';
import { portNear } from './ports.ts';
import { renderResources } from './resources.ts';
import { launchersMark, sweep } from './sweep.ts';
import type { Counts } from './view.ts';

export interface ShopOptions {
  /** Where everything is kept; a new temporary folder, removed at the end, where it is left out. */
  readonly folder: string | undefined;
  /** What happens, for people. */
  readonly tell: (text: string) => void;
  /** Gives the start up; what was started by then is ended. */
  readonly signal: AbortSignal;
}

export interface Shop {
  readonly folder: string;
  readonly ports: Ports;
  readonly pids: Pids;
  /** The front for callers outside the mesh. */
  readonly webUrl: string;
  readonly countsUrl: string;
  /** The visitors' sidecar, which finds services by name. */
  readonly proxy: string;
  instances(): Promise<Instance[]>;
  counts(): Promise<Counts>;
  stop(): Promise<void>;
}

export interface Ports {
  readonly api: number;
  readonly agents: number;
  readonly join: number;
}

export interface Pids {
  readonly pilot: number;
  readonly agents: Readonly<Record<string, number>>;
}

interface Start {
  readonly folder: string;
  /** The pilot first. */
  readonly kept: KeptProcess[];
  readonly tell: (text: string) => void;
  readonly signal: AbortSignal;
}

const example = join(import.meta.dirname, '..');
const heddleProgram = join(example, '../../bin/heddle.mjs');
const heddle = [process.execPath, '--disable-warning=ExperimentalWarning', heddleProgram];
const nodes = ['host-1', 'host-2'] as const;
const trustDomain = 'mesh.local';
/** Ports that a pilot has by itself; free ones where they are taken. */
const wantedPorts: Ports = { api: 15_080, agents: 15_011, join: 15_012 };
/** What `resources/workloads.yaml` asks for. */
const instanceCount = 7;
const readyWithinMs = 60_000;
const lookMs = 100;
const run = promisify(execFile);

export async function startShop({ folder: given, tell, signal }: ShopOptions): Promise<Shop> {
  await endLeftovers(given, tell);
  const folder = given ?? mkdtempSync(join(tmpdir(), folderPrefix));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  noteLauncher(folder);
  const kept: KeptProcess[] = [];
  const stop = async () => {
    // Agents first: what they run drains while the pilot is still there to hear of it.
    const [pilot, ...agents] = kept;
    await Promise.all(agents.map((agent) => agent.stop()));
    await pilot?.stop();
    await sweep(folder);
    rmSync(given === undefined ? folder : join(folder, noteName), { recursive: true, force: true });
  };
  try {
    return { ...(await start({ folder, kept, tell, signal })), stop };
  } catch (failure) {
    await stop();
    throw failure;
  }
}

async function start({ folder, kept, tell, signal }: Start) {
  for (const name of ['pilot', 'data', ...nodes])
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  const ports = await choosePorts(tell);
  // Agents pass PATH on to services, whose `node` shall be this one.
  const env = {
    ...process.env,
    PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
    HEDDLE_DATA: join(folder, 'pilot'),
    [launchersMark]: folder,
  };
  const keep = (name: string, args: readonly string[]) => {
    const process = keepProcess({
      name,
      command: [...heddle, ...args],
      env,
      logFile: join(folder, `${name}.log`),
      onRestart: (pid) => tell(`${name} fell and was started again, process ${pid}`),
    });
    kept.push(process);
    return process;
  };
  const command = async (...args: string[]) =>
    (await run(heddle[0] ?? '', [...heddle.slice(1), ...args], { env })).stdout;

  tell('starting a pilot …');
  const pilot = keep('pilot', pilotArguments(folder, ports));
  await pilot.ready();
  signal.throwIfAborted();
  const resources = join(folder, 'resources.yaml');
  writeFileSync(resources, renderResources({ shop: example, data: join(folder, 'data'), trustDomain }));
  tell('starting two node agents, and telling the pilot of the shop …');
  const [, ...agents] = await Promise.all([
    command('pilot', 'apply', '-f', resources),
    ...nodes.map(async (node) => {
      const token = (await command('pilot', 'token', 'create', '--node', node)).trim();
      const agent = keep(node, agentArguments(folder, node, token, ports));
      await agent.ready();
      return agent;
    }),
  ]);

  tell('waiting for services and their sidecars …');
  const instances = async () => (await statuses(folder)).flatMap((status) => status.instances);
  const visitors = await whenReady(instances, signal);
  const visitorsPid = visitors.appPid ?? 0;
  const told = environmentOf(visitorsPid);
  const countsUrl = `http://127.0.0.1:${told.get('PORT')}/counts`;
  const counts = async () => (await (await fetch(countsUrl)).json()) as Counts;
  await waitFor('the first visits', async () => ((await counts()).requests > 0 ? true : undefined), signal);
  return {
    folder,
    ports,
    get pids() {
      return {
        pilot: pilot.pid,
        agents: Object.fromEntries(nodes.map((node, index) => [node, agents[index]?.pid ?? 0])),
      };
    },
    webUrl: await webUrlOf(instances),
    countsUrl,
    proxy: visitors.proxy,
    instances,
    counts,
  };
}

async function choosePorts(tell: (text: string) => void): Promise<Ports> {
  const chosen = { ...wantedPorts };
  for (const name of ['api', 'agents', 'join'] as const) {
    const port = await portNear(wantedPorts[name]);
    if (port !== wantedPorts[name]) tell(`port ${wantedPorts[name]} is taken, using ${port}`);
    chosen[name] = port;
  }
  return chosen;
}

function pilotArguments(folder: string, ports: Ports): string[] {
  return [
    ...['pilot', 'serve', '--data-dir', join(folder, 'pilot'), '--trust-domain', trustDomain],
    ...['--http', `127.0.0.1:${ports.api}`],
    ...['--listen', `127.0.0.1:${ports.agents}`, '--join-listen', `127.0.0.1:${ports.join}`],
    ...['--log-level', 'info', '--print-ready'],
  ];
}

function agentArguments(folder: string, node: string, token: string, ports: Ports): string[] {
  return [
    ...['agent', 'run', '--node', node, '--label', 'example=shop', '--state-dir', join(folder, node)],
    ...['--pilot', `127.0.0.1:${ports.join}`, '--token', token, '--address', '127.0.0.1'],
    ...['--on-stop', 'stop', '--log-level', 'info', '--print-ready'],
  ];
}

function statuses(folder: string): Promise<AgentStatus[]> {
  return Promise.all(nodes.map((node) => askAgent(join(folder, node))));
}

/** All instances ready; answers the visitors'. */
function whenReady(instances: () => Promise<Instance[]>, signal: AbortSignal): Promise<Instance> {
  const look = async () => {
    const all = await instances();
    const waiting = all.filter(({ state, appPid }) => state !== 'ready' || appPid === null);
    if (all.length >= instanceCount && waiting.length === 0) {
      return all.find(({ workload }) => workload === 'visitors');
    }
    throw new Error(
      `${all.length} of ${instanceCount} placed; not ready: ${waiting.map(({ id, reason }) => `${id} (${reason})`).join(', ') || 'none of them'}`,
    );
  };
  return waitFor('all services', look, signal);
}

async function webUrlOf(instances: () => Promise<Instance[]>): Promise<string> {
  const web = (await instances()).find(({ workload }) => workload === 'web');
  const port = web?.ports.find(({ plainPort }) => plainPort !== undefined)?.plainPort;
  return `http://127.0.0.1:${port}`;
}

/** Asks again until there is an answer; a throw says what is missing. */
async function waitFor<T>(what: string, ask: () => Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  const deadline = performance.now() + readyWithinMs;
  let last = '';
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (failure) {
      last = failure instanceof Error ? failure.message : String(failure);
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  throw new Error(`waited ${readyWithinMs / 1000} s for ${what}: ${last}`);
}
