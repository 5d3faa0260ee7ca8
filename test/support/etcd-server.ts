/** A real etcd of the test's own, on free ports, which it may kill, stop and start again over the same data. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from './eventually.ts';
import { freePorts } from './free-port.ts';
import { type RunningProcess, startProcess } from './processes.ts';
import { tempFolder } from './temp-folder.ts';

export interface EtcdServer {
  readonly url: string;
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>;
  /** Starts it again over the same data and waits until it answers. */
  start(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** The etcd program, or undefined where there is none on this machine. */
export function findEtcd(): string | undefined {
  const { PATH: path = '' } = process.env;
  const folders = [...path.split(delimiter), '/usr/bin', '/usr/local/bin'];
  return folders.map((folder) => join(folder, 'etcd')).find(isExecutable);
}

/** `tls`: paths; clients must show a certificate that `cert` signed. */
export async function startEtcd(
  t: Pick<TestContext, 'after'>,
  tls?: { readonly cert: string; readonly key: string },
): Promise<EtcdServer> {
  const command = findEtcd();
  if (command === undefined) throw new Error('etcd is not installed: apt-get install etcd-server');
  const folder = tempFolder(t);
  const [clientPort, peerPort, metricsPort] = await freePorts(3);
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    '--name',
    'test',
    '--data-dir',
    join(folder, 'data'),
    '--logger',
    'zap',
    '--log-level',
    'warn',
  ];
  args.push('--listen-client-urls', url, '--advertise-client-urls', url, '--listen-peer-urls', peer);
  args.push('--initial-advertise-peer-urls', peer, '--initial-cluster', `test=${peer}`, '--unsafe-no-fsync');
  const metrics = `http://127.0.0.1:${metricsPort}`;
  args.push('--listen-metrics-urls', metrics);
  if (tls !== undefined) {
    args.push(
      '--cert-file',
      tls.cert,
      '--key-file',
      tls.key,
      '--client-cert-auth',
      '--trusted-ca-file',
      tls.cert,
    );
  }
  let running: RunningProcess | undefined;
  const server: EtcdServer = {
    url,
    async kill() {
      running?.signal('SIGKILL');
      await running?.exited;
    },
    async start() {
      running = await startProcess(t, { command, args, env: { ETCD_UNSUPPORTED_ARCH: 'arm64' } });
      await eventually(() => isHealthy(metrics), { withinMs: 60_000, what: `etcd at ${url}` });
    },
    signal(name) {
      running?.signal(name);
    },
  };
  await server.start();
  return server;
}

async function isHealthy(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/health`, { headers: { connection: 'close' } });
  return (await answer.text()).includes('"true"');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
