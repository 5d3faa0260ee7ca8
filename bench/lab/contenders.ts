/** Who is compared: each as one plaintext hop or as a pair with mTLS between, and how it is started. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../test/support/free-port.ts';
import { identityOf } from './certificates.ts';
import { fill, type Lab } from './lab.ts';

export type Shape = 'hop' | 'pair';

export interface Contender {
  readonly name: 'heddle' | 'nginx' | 'haproxy' | 'envoy';
  readonly shape: Shape;
  start(lab: Lab, backendPort: number): Promise<Running>;
}

export interface Running {
  readonly port: number;
  /** The proxies' processes, whose time is counted. */
  readonly pids: readonly number[];
}

export const proxyCore = 0;
export const loadCore = 1;

/** About a hundred bytes, like a small JSON answer. */
const body =
  '{"order":4711,"sku":"WOOL-INDIGO-50","quantity":2,"totalCents":1400,"status":"on its way to you"}';

export async function startBackend(lab: Lab): Promise<number> {
  const [port = 0] = await freePorts(1);
  const server = fill('nginx-backend.conf', { LISTEN: port, BODY: body });
  await startNginx(lab, 'backend', server, { core: loadCore, port });
  return port;
}

/** Everyone who can be run here; Envoy only where `envoyPath` leads to it. */
export function contenders(options: { envoyPath: string | undefined; fromSource: boolean }): Contender[] {
  const { envoyPath, fromSource } = options;
  const envoy = envoyPath !== undefined && existsSync(envoyPath) ? envoyContenders(envoyPath) : [];
  return [nginxHop, haproxyHop, nginxPair, ...envoy, heddle('hop', fromSource), heddle('pair', fromSource)];
}

const nginxHop: Contender = {
  name: 'nginx',
  shape: 'hop',
  async start(lab, backendPort) {
    const [port = 0] = await freePorts(1);
    const server = fill('nginx-hop.conf', { LISTEN: port, UPSTREAM: backendPort });
    return { port, pids: [await startNginx(lab, 'hop', server, { core: proxyCore, port })] };
  },
};

const nginxPair: Contender = {
  name: 'nginx',
  shape: 'pair',
  async start(lab, backendPort) {
    const [port = 0, inner = 0] = await freePorts(2);
    const values = { FOLDER: lab.folder };
    const receiver = fill('nginx-pair-in.conf', { ...values, LISTEN: inner, UPSTREAM: backendPort });
    const caller = fill('nginx-pair-out.conf', { ...values, LISTEN: port, UPSTREAM: inner });
    return {
      port,
      pids: [
        await startNginx(lab, 'pair-in', receiver, { core: proxyCore, port: inner }),
        await startNginx(lab, 'pair-out', caller, { core: proxyCore, port }),
      ],
    };
  },
};

const haproxyHop: Contender = {
  name: 'haproxy',
  shape: 'hop',
  async start(lab, backendPort) {
    const [port = 0] = await freePorts(1);
    const config = fill('haproxy-hop.cfg', { LISTEN: port, UPSTREAM: backendPort });
    const file = lab.writeConfig('haproxy.cfg', config);
    const { pid } = await lab.start({
      core: proxyCore,
      command: ['haproxy', '-db', '-f', file],
      ready: port,
    });
    return { port, pids: [pid] };
  },
};

function envoyContenders(path: string): Contender[] {
  const startEnvoy = async (lab: Lab, name: string, values: Readonly<Record<string, string | number>>) => {
    const port = Number(values['LISTEN']);
    const parts = { TLS_IN: '', FILTERS: '', UPSTREAM_OPTIONS: '', ...values };
    const file = lab.writeConfig(`envoy-${name}.yaml`, fill('envoy.yaml', parts));
    const flags = ['--concurrency', '1', '--log-level', 'error', '--disable-hot-restart'];
    const { pid } = await lab.start({
      core: proxyCore,
      command: [path, '-c', file, ...flags],
      ready: port,
    });
    return pid;
  };
  const hop: Contender = {
    name: 'envoy',
    shape: 'hop',
    async start(lab, backendPort) {
      const [port = 0] = await freePorts(1);
      return { port, pids: [await startEnvoy(lab, 'hop', { LISTEN: port, UPSTREAM: backendPort })] };
    },
  };
  const pair: Contender = {
    name: 'envoy',
    shape: 'pair',
    async start(lab, backendPort) {
      const [port = 0, inner = 0] = await freePorts(2);
      const FOLDER = lab.folder;
      const receiver = await startEnvoy(lab, 'pair-in', {
        LISTEN: inner,
        UPSTREAM: backendPort,
        TLS_IN: fill('envoy-tls-in.yaml', { FOLDER }),
        FILTERS: fill('envoy-rbac.yaml', { CALLER: identityOf('a') }),
      });
      const caller = await startEnvoy(lab, 'pair-out', {
        LISTEN: port,
        UPSTREAM: inner,
        UPSTREAM_OPTIONS: fill('envoy-tls-out.yaml', { FOLDER }),
      });
      return { port, pids: [receiver, caller] };
    },
  };
  return [hop, pair];
}

function heddle(shape: Shape, fromSource: boolean): Contender {
  return {
    name: 'heddle',
    shape,
    async start(lab, backendPort) {
      const [port = 0] = await freePorts(1);
      const program = join(import.meta.dirname, `../subject/${shape}.ts`);
      const addresses = ['--listen', `127.0.0.1:${port}`, '--upstream', `127.0.0.1:${backendPort}`];
      const { match } = await lab.start({
        core: proxyCore,
        command: [process.execPath, program, ...addresses, ...(fromSource ? ['--source'] : [])],
        ready: /^ready pids=([\d,]+)$/m,
      });
      return { port, pids: (match?.[1] ?? '').split(',').map(Number) };
    },
  };
}

async function startNginx(
  lab: Lab,
  name: string,
  server: string,
  { core, port }: { core: number; port: number },
): Promise<number> {
  const config = fill('nginx.conf', { FOLDER: lab.folder, NAME: name, SERVER: server.trim() });
  const file = lab.writeConfig(`nginx-${name}.conf`, config);
  const log = join(lab.folder, `${name}.log`);
  const { pid } = await lab.start({ core, command: ['nginx', '-c', file, '-e', log], ready: port });
  return pid;
}
