/** Pilot, agents, sidecars and services as processes; then the control plane goes, and one host after the other. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AgentStatus } from '../../../node-agent/control.ts';
import { mark as marks } from '../../../node-agent/supervisor/marks.ts';
import { createProcessTable } from '../../../node-agent/supervisor/proc.ts';
import { defer } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { mark, type RunningProcess, runProcess, startProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const heddle = join(import.meta.dirname, '../../../bin/heddle.mjs');
const app = join(import.meta.dirname, '../../support/agent/echo-app.mjs');
const table = createProcessTable();
const local = '127.0.0.1:0';

const resources = [
  ...['web', 'api'].map((name) => ({
    apiVersion: 'heddle/v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  })),
  workload('web', 'n1', [{ service: 'api' }]),
  workload('api', 'n2', []),
  {
    apiVersion: 'heddle/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'shop', namespace: 'shop' },
    spec: { mtls: { mode: 'STRICT' } },
  },
];

function workload(name: string, node: string, calls: readonly unknown[]) {
  return {
    apiVersion: 'heddle/v1',
    kind: 'Workload',
    metadata: { name, namespace: 'shop', labels: { app: name } },
    spec: {
      node,
      command: [process.execPath, app, `mark=${mark}`],
      ports: [{ name: 'http', port: 8080, protocol: 'http' }],
      calls,
    },
  };
}

interface Host {
  readonly stateDir: string;
  readonly agent: RunningProcess;
}

async function startPilot(t: TestContext, dataDir: string) {
  const ports = ['--listen', local, '--join-listen', local, '--http', local];
  const args = [heddle, 'pilot', 'serve', '--data-dir', dataDir, ...ports, '--print-ready'];
  const pilot = await startProcess(t, { args: [...args, '--log-level', 'warn'] });
  const [line] = await pilot.printed(/\{"ready":true.*\}/);
  const { joinPort } = JSON.parse(line) as { joinPort: number };
  return { pilot, joinPort };
}

async function startAgent(
  t: TestContext,
  stateDir: string,
  node: string,
  more: readonly string[],
): Promise<Host> {
  const flags = ['--node', node, '--state-dir', stateDir, '--print-ready', '--log-level', 'warn'];
  const agent = await startProcess(t, { args: [heddle, 'agent', 'run', ...flags, ...more] });
  await agent.printed(/"ready":true/, 60_000);
  return { stateDir, agent };
}

async function statusOf(t: TestContext, stateDir: string): Promise<AgentStatus> {
  const { stdout } = await runProcess(t, {
    args: [heddle, 'agent', 'status', '--state-dir', stateDir, '--json'],
  });
  return JSON.parse(stdout);
}

function ready(t: TestContext, stateDir: string): Promise<AgentStatus> {
  return eventually(
    async () => {
      const status = await statusOf(t, stateDir);
      return status.instances.length > 0 && status.instances.every(({ state }) => state === 'ready')
        ? status
        : undefined;
    },
    { withinMs: 60_000, everyMs: 200, what: `everything in ${stateDir} is ready` },
  );
}

/** Where `web` itself listens, from the environment of its process. */
function webPort(stateDir: string): number {
  const found = table.marked(marks.stateDir, stateDir).find(({ env }) => env[marks.role] === 'app');
  return Number(new Map(Object.entries(found?.env ?? {})).get('PORT'));
}

/** What `web` hears from `api`, through both sidecars. */
function askApi(stateDir: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: webPort(stateDir), path: '/ask?api', agent: false };
    get(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${text}`));
    }).on('error', reject);
  });
}

async function killHost({ agent, stateDir }: Host): Promise<void> {
  agent.signal('SIGKILL');
  await agent.exited;
  for (const { ref } of table.marked(marks.stateDir, stateDir)) table.kill(ref.pid, 'SIGKILL', 'process');
  await eventually(() => table.marked(marks.stateDir, stateDir).length === 0);
}

describe('a mesh whose control plane is gone', () => {
  it('goes on, and comes back host by host from its own disks', async (t) => {
    const folder = tempFolder(t);
    const dataDir = join(folder, 'pilot');
    const { pilot, joinPort } = await startPilot(t, dataDir);
    const cli = (...args: string[]) =>
      runProcess(t, { args: [heddle, 'pilot', ...args, '--data-dir', dataDir] });
    const file = join(folder, 'resources.yaml');
    writeFileSync(file, resources.map((resource) => JSON.stringify(resource)).join('\n---\n'));
    const applied = await cli('apply', '-f', file);
    assert.equal(applied.code, 0, applied.stderr);
    const join1 = join(folder, 'token');
    const hosts: Host[] = [];
    for (const node of ['n1', 'n2']) {
      const token = await cli('token', 'create', '--node', node);
      const [text] = /heddle1\.\S+/.exec(token.stdout) ?? assert.fail(token.stdout + token.stderr);
      writeFileSync(join1, text);
      const stateDir = join(folder, node);
      defer(t, async () => {
        for (const { ref } of table.marked(marks.stateDir, stateDir))
          table.kill(ref.pid, 'SIGKILL', 'process');
        await eventually(() => table.marked(marks.stateDir, stateDir).length === 0);
      });
      hosts.push(
        await startAgent(t, stateDir, node, ['--pilot', `127.0.0.1:${joinPort}`, '--token-file', join1]),
      );
    }
    const [one, two] = hosts;
    assert.ok(one !== undefined && two !== undefined);
    await Promise.all(hosts.map(({ stateDir }) => ready(t, stateDir)));
    const answer = '200 shop/api.0@n2';
    await eventually(async () => (await askApi(one.stateDir)) === answer);

    // No pilot, no store: requests go on.
    pilot.signal('SIGKILL');
    await pilot.exited;
    rmSync(dataDir, { recursive: true });
    for (let i = 0; i < 20; i++) assert.equal(await askApi(one.stateDir), answer);

    // Each host loses everything that runs, and starts from what it has.
    await killHost(two);
    const second = await startAgent(t, two.stateDir, 'n2', []);
    await ready(t, second.stateDir);
    await eventually(async () => (await askApi(one.stateDir)) === answer);
    await killHost(one);
    const first = await startAgent(t, one.stateDir, 'n1', []);
    const { pilot: none } = await ready(t, first.stateDir);
    assert.equal(none, null);
    await eventually(async () => (await askApi(first.stateDir)) === answer);
  });
});
