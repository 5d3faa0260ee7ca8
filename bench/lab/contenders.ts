/** Who is compared: each as one plaintext hop or as a pair with mTLS between, and how it is started. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../test/support/free-port.ts';
import { identityOf } from './certificates.ts';
import { fill, type Lab } from './lab.ts';
import { bodies } from './load.ts';

export type Shape = 'hop' | 'pair';

export interface Contender {
  readonly name: 'heddle' | 'nginx' | 'haproxy' | 'envoy';
  readonly shape: Shape;
  /** What it speaks to the backend. */
  readonly upstream: 'http1' | 'h2';
  start(lab: Lab, backendPort: number): Promise<Running>;
}

export interface Running {
  readonly port: number;
  /** The proxies' processes, whose time is counted. */
  readonly pids: readonly number[];
  /** Ends them with SIGTERM, where it is not one of them. */
  readonly starter?: number;
}

export const proxyCore = 0;
export const loadCore = 1;

/** About a hundred bytes, like a small JSON answer. */
const body =
  '{"order":4711,"sku":"WOOL-INDIGO-50","quantity":2,"totalCents":1400,"status":"on its way to you"}';

export interface Backend {
  readonly http1: number;
  readonly h2: number;
}

export async function startBackend(lab: Lab): Promise<Backend> {
  const [http1 = 0, h2 = 0] = await freePorts(2);
  lab.writeConfig('answers.conf', fill('nginx-answers.conf', { BODY: body, FOLDER: lab.folder }));
  mkdirSync(join(lab.folder, 'bodies'));
  for (const [name, size] of Object.entries(bodies)) {
    lab.writeConfig(join('bodies', name), 'x'.repeat(size));
  }
  const server = fill('nginx-backend.conf', { LISTEN: http1, LISTEN_H2: h2, FOLDER: lab.folder });
  await startNginx(lab, 'backend', server, { core: loadCore, port: http1 });
  return { http1, h2 };
}

/** Everyone who can be run here; Envoy only where `envoyPath` leads to it. */
export function contenders(options: { envoyPath: string | undefined; fromSource: boolean }): Contender[] {
  const { envoyPath, fromSource } = options;
  const envoy = envoyPath !== undefined && existsSync(envoyPath) ? envoyPath : undefined;
  const upstreams = ['http1', 'h2'] as const;
  return [
    ...[nginxHop, haproxyHop, nginxPair],
    ...(envoy === undefined ? [] : upstreams.flatMap((upstream) => envoyContenders(envoy, upstream))),
    ...upstreams.flatMap((upstream) => [
      heddle('hop', { upstream, fromSource }),
      heddle('pair', { upstream, fromSource }),
    ]),
  ];
}

const nginxHop: Contender = {
  name: 'nginx',
  shape: 'hop',
  upstream: 'http1',
  async start(lab, backendPort) {
    const [port = 0] = await freePorts(1);
    const server = fill('nginx-hop.conf', { LISTEN: port, UPSTREAM: backendPort });
    return { port, pids: [await startNginx(lab, 'hop', server, { core: proxyCore, port })] };
  },
};

const nginxPair: Contender = {
  name: 'nginx',
  shape: 'pair',
  upstream: 'http1',
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
  upstream: 'http1',
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

function envoyContenders(path: string, upstream: 'http1' | 'h2'): Contender[] {
  // Towards the backend; towards another Envoy it is HTTP/2 over TLS always.
  const toBackend = upstream === 'h2' ? fill('envoy-h2-out.yaml', {}) : '';
  const startEnvoy = async (lab: Lab, name: string, values: Readonly<Record<string, string | number>>) => {
    const port = Number(values['LISTEN']);
    const parts = { TLS_IN: '', FILTERS: '', UPSTREAM_OPTIONS: '', ...values };
    const file = lab.writeConfig(`envoy-${name}-${upstream}.yaml`, fill('envoy.yaml', parts));
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
    upstream,
    async start(lab, backendPort) {
      const [port = 0] = await freePorts(1);
      const values = { LISTEN: port, UPSTREAM: backendPort, UPSTREAM_OPTIONS: toBackend };
      return { port, pids: [await startEnvoy(lab, 'hop', values)] };
    },
  };
  const pair: Contender = {
    name: 'envoy',
    shape: 'pair',
    upstream,
    async start(lab, backendPort) {
      const [port = 0, inner = 0] = await freePorts(2);
      const FOLDER = lab.folder;
      const receiver = await startEnvoy(lab, 'pair-in', {
        LISTEN: inner,
        UPSTREAM: backendPort,
        UPSTREAM_OPTIONS: toBackend,
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

interface SubjectOptions {
  readonly upstream: 'http1' | 'h2';
  readonly fromSource: boolean;
  /** Further arguments of the subject. */
  readonly more?: readonly string[];
}

export function heddle(shape: Shape, { upstream, fromSource, more = [] }: SubjectOptions): Contender {
  return {
    name: 'heddle',
    shape,
    upstream,
    async start(lab, backendPort) {
      const [port = 0] = await freePorts(1);
      const program = join(import.meta.dirname, `../subject/${shape}.ts`);
      const addresses = ['--listen', `127.0.0.1:${port}`, '--upstream', `127.0.0.1:${backendPort}`];
      const flags = ['--upstream-protocol', upstream, ...more, ...(fromSource ? ['--source'] : [])];
      const { match, pid } = await lab.start({
        core: proxyCore,
        command: [process.execPath, program, ...addresses, ...flags],
        ready: /^ready pids=([\d,]+)$/m,
      });
      return { port, starter: pid, pids: (match?.[1] ?? '').split(',').map(Number) };
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
