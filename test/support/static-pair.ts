/**
 * Two real sidecars from static files: `web` calls what `shop` serves over one mTLS link. Tests change the
 * snapshots they begin with and get the addresses to talk to.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AppPort, Bootstrap, LocalPort } from '../../mesh/bootstrap.ts';
import type { LimitSettings } from '../../mesh/limits.ts';
import {
  type AppProtocol,
  type AuthorizationPolicy,
  type Cluster,
  clusterName,
  type EndpointSet,
  type InboundPort,
  type MtlsMode,
  type RouteRule,
  type Self,
  type ServiceRoutes,
  type Snapshot,
} from '../../mesh/model.ts';
import { formatStaticConfig } from '../../proto/static-config.ts';
import { createTestMesh, type TestMesh } from './certificates.ts';
import type { Scope } from './cleanup.ts';
import { freePort, freePorts } from './free-port.ts';
import { clusterOf, endpointOf, selfOf, snapshotFor } from './model.ts';
import { type RunningProcess, startProcess } from './processes.ts';
import { tempFolder } from './temp-folder.ts';

/** A port of the receiver: what the mesh calls it, and where its application listens. */
export interface ServedPort {
  readonly port: number;
  readonly appPort: number;
  readonly protocol: AppProtocol;
  readonly mtls?: MtlsMode;
  /** Its connections ride on the link. */
  readonly shared?: boolean;
  /** Rules in place of the one that leads to the service. */
  readonly rules?: readonly RouteRule[];
}

export interface PairOptions {
  readonly ports: readonly ServedPort[];
  readonly policies?: readonly AuthorizationPolicy[];
  readonly limits?: Partial<Cluster['limits']>;
  /** What the receiver's applications take. */
  readonly served?: Partial<Cluster['limits']>;
  readonly timeouts?: Partial<Cluster['timeouts']>;
  /** Bounds of the sidecars themselves. */
  readonly sidecarLimits?: LimitSettings;
  /** How the two processes are started, where it matters. */
  readonly start?: { readonly caller?: StartOptions; readonly receiver?: StartOptions };
  /** More endpoints of every cluster, to be picked as well. */
  readonly deadEndpoints?: number;
}

export interface StartOptions {
  /** After `sidecar run`. */
  readonly args?: readonly string[];
  /** Before the program. */
  readonly nodeArgs?: readonly string[];
  /** The built executable in place of the sources. */
  readonly program?: string;
  /** A command that runs the rest, such as `prlimit`. */
  readonly wrapper?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface StaticPair {
  readonly caller: RunningProcess;
  readonly receiver: RunningProcess;
  /** Where the application's requests by `Host` go. */
  readonly outboundPort: number;
  /** The localhost port that stands for a port of `shop`. */
  localPort(port: number): number;
  /** Where plaintext callers reach a permissive port. */
  plainPort(port: number): number;
  readonly linkPort: number;
  readonly callerAdmin: number;
  readonly receiverAdmin: number;
  readonly mesh: TestMesh;
  /** What the caller's sidecar was configured by. */
  readonly callerFile: string;
}

export const service = { namespace: 'test', name: 'shop' };

const noLimits = { maxConnections: 10_000, maxRequests: 100_000 };
const noTimeouts = { connectMs: 2_000, requestMs: 0, idleMs: 300_000, detectMs: 5000 };

/** What one of the two sidecars is told. */
export interface Side {
  readonly account: string;
  readonly bootstrap: Bootstrap;
  readonly snapshot: Snapshot;
}

export interface PairDescription {
  readonly mesh: TestMesh;
  readonly caller: Side;
  readonly receiver: Side;
}

/** Bootstraps on free ports and snapshots for both sides. */
export async function describePair(options: PairOptions): Promise<PairDescription> {
  const mesh = await createTestMesh();
  const limits = { ...noLimits, ...options.limits };
  const timeouts = { ...noTimeouts, ...options.timeouts };
  const linkPort = await freePort();
  return {
    mesh,
    receiver: limited(await describeReceiver(options, linkPort, timeouts), options),
    caller: limited(await describeCaller(mesh, options, linkPort, { timeouts, limits }), options),
  };
}

function limited(side: Side, { sidecarLimits: limits }: PairOptions): Side {
  return limits === undefined ? side : { ...side, bootstrap: { ...side.bootstrap, limits } };
}

async function describeReceiver(
  { ports, policies = [], served = {} }: PairOptions,
  linkPort: number,
  timeouts: Cluster['timeouts'],
): Promise<Side> {
  const [outbound = 0, admin = 0, ...plain] = await freePorts(2 + ports.length);
  const inbound = ports.map(
    ({ port, protocol, mtls = 'strict', shared = false }): InboundPort => ({
      name: `p${port}`,
      port,
      protocol,
      mtls,
      shared,
      limits: { ...noLimits, ...served },
      timeouts,
    }),
  );
  const apps = ports.map(({ port, appPort, mtls }, at): AppPort => {
    const address = { hosts: ['127.0.0.1'], port: plain[at] as number };
    return { port, appHost: '127.0.0.1', appPort, plain: mtls === 'permissive' ? address : undefined };
  });
  const link = { hosts: ['127.0.0.1'], port: linkPort };
  const self = testSelf('shop', { inbound, policies: policies.map(({ name }) => name) });
  return {
    account: 'shop',
    bootstrap: { ...bootstrapOf('test/shop.0@local', outbound, admin), link, apps },
    snapshot: snapshotFor(self, { policies: new Map(policies.map((policy) => [policy.name, policy])) }),
  };
}

async function describeCaller(
  mesh: TestMesh,
  { ports, deadEndpoints = 0 }: PairOptions,
  linkPort: number,
  { timeouts, limits }: Pick<Cluster, 'timeouts' | 'limits'>,
): Promise<Side> {
  const [outbound = 0, admin = 0, ...local] = await freePorts(2 + ports.length);
  const dead = await freePorts(deadEndpoints);
  const clusters = ports.map(({ port, protocol }) =>
    clusterOf(service, port, { protocol, timeouts, limits }),
  );
  const endpoints = ports.map(({ port, shared = false }) => {
    const set = endpointsOf(mesh, port, [linkPort, ...dead]);
    return { ...set, endpoints: set.endpoints.map((endpoint) => ({ ...endpoint, shared })) };
  });
  const routes: ServiceRoutes = {
    service,
    ports: ports.map(({ port, protocol, rules }) => ({
      port,
      protocol,
      rules: rules ?? [everythingTo(clusterName(service, port))],
    })),
  };
  const calls = ports.map(({ port, protocol }) => ({ service, port, protocol, localPort: undefined }));
  const localPorts = ports.map(
    ({ port }, at): LocalPort => ({ service, port, localPort: local[at] as number }),
  );
  return {
    account: 'web',
    bootstrap: { ...bootstrapOf('test/web.0@local', outbound, admin), localPorts },
    snapshot: snapshotFor(testSelf('web', { calls }), {
      services: new Map([['test/shop', routes]]),
      clusters: new Map(clusters.map((cluster) => [cluster.name, cluster])),
      endpoints: new Map(endpoints.map((set) => [set.cluster, set])),
    }),
  };
}

/** The endpoints behind a port of `shop`, one at each link port. */
export function endpointsOf(
  mesh: TestMesh,
  port: number,
  linkPorts: readonly number[],
  version = 1,
): EndpointSet {
  return {
    cluster: clusterName(service, port),
    version,
    endpoints: linkPorts.map((linkPort, at) =>
      endpointOf(`test/shop.${at}@local`, {
        ...{ identity: mesh.nameOf('shop'), transport: 'link', port: linkPort, targetPort: port },
      }),
    ),
  };
}

/** Both sidecars as processes that read static files. */
export async function startStaticPair(t: Scope, options: PairOptions): Promise<StaticPair> {
  const { mesh, caller, receiver } = await describePair(options);
  const folder = tempFolder(t);
  return {
    mesh,
    callerFile: configFile(folder, caller),
    receiver: await startStatic(t, folder, mesh, receiver, options.start?.receiver),
    caller: await startStatic(t, folder, mesh, caller, options.start?.caller),
    ...addressesOf(caller, receiver),
  };
}

/** Where to talk to two sidecars that were described. */
export function addressesOf(caller: Side, receiver: Side) {
  return {
    outboundPort: caller.bootstrap.outbound.port,
    localPort: (port: number) => caller.bootstrap.localPorts.find((one) => one.port === port)?.localPort ?? 0,
    plainPort: (port: number) => receiver.bootstrap.apps.find((one) => one.port === port)?.plain?.port ?? 0,
    linkPort: receiver.bootstrap.link?.port ?? 0,
    callerAdmin: adminPort(caller),
    receiverAdmin: adminPort(receiver),
  };
}

function adminPort({ bootstrap: { admin } }: Side): number {
  return 'port' in admin ? admin.port : 0;
}

/** The rule of a service without routes. */
export function everythingTo(cluster: string): RouteRule {
  return {
    route: 'Service test/shop',
    match: { path: undefined, method: undefined, headers: [], query: [], serverName: undefined },
    filters: [],
    backends: [{ weight: 1, filters: [], target: { cluster } }],
    timeouts: { requestMs: undefined, backendRequestMs: undefined },
  };
}

async function startStatic(
  t: Scope,
  folder: string,
  mesh: TestMesh,
  side: Side,
  start: StartOptions = {},
): Promise<RunningProcess> {
  const file = configFile(folder, side);
  const { account, bootstrap, snapshot } = side;
  const bundle = await mesh.bundle(account);
  writeFileSync(file, formatStaticConfig({ bootstrap, identity: { kind: 'inline', bundle }, snapshot }));
  return startSidecar(t, ['--config', file], start);
}

/** One side alone, from a static file. */
export async function startStaticSide(
  t: Scope,
  mesh: TestMesh,
  side: Side,
  start?: StartOptions,
): Promise<RunningProcess> {
  return startStatic(t, tempFolder(t), mesh, side, start);
}

function configFile(folder: string, { account }: Side): string {
  return join(folder, `${account}.json`);
}

/** A sidecar process that serves. */
export async function startSidecar(
  t: Scope,
  config: readonly string[],
  { args = [], nodeArgs = [], program = 'bin/heddle.mjs', wrapper = [], env = {} }: StartOptions = {},
): Promise<RunningProcess> {
  const run = [...nodeArgs, program, 'sidecar', 'run', '--print-ready', ...config, ...args];
  const [command = process.execPath, ...before] = wrapper;
  const sidecar = await startProcess(t, {
    command,
    args: wrapper.length === 0 ? run : [...before, process.execPath, ...run],
    env,
  });
  await sidecar.printed(/"ready":true/);
  return sidecar;
}

function bootstrapOf(instance: string, outboundPort: number, adminPort: number): Bootstrap {
  return {
    instance,
    link: undefined,
    outbound: { hosts: ['127.0.0.1'], port: outboundPort },
    localPorts: [],
    apps: [],
    admin: { port: adminPort },
    accessLogFile: undefined,
    allowShortLifetimes: false,
  };
}

function testSelf(workload: string, given: Partial<Self>): Self {
  return selfOf('test', workload, { node: 'local', accessLog: 'all', ...given });
}
