/**
 * From a placed workload and the ports allocated for one instance to what is started for it: the sidecar's
 * bootstrap, both environments, both commands. Pure.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { AppPort, Bootstrap, ListenAddress, OutboundPolicy } from '../../mesh/bootstrap.ts';
import type { Call } from '../../mesh/model.ts';
import type { PlacedWorkload } from '../../mesh/placement.ts';
import type { InstancePlan, PlannedProcess } from '../supervisor/instance-runner.ts';
import type { InstanceLimits, Role } from '../supervisor/instance-state.ts';
import { mark } from '../supervisor/marks.ts';
import type { InstancePorts, PortRequest } from '../supervisor/ports.ts';
import { defaultLimits } from '../supervisor/process-state.ts';
import type { Probe } from '../supervisor/readiness.ts';
import type { ProcessSpec } from '../supervisor/spawn.ts';
import { applicationVariables, expand, inherited } from './environment.ts';

/** What all instances of this node have in common. */
export interface NodeSettings {
  readonly node: string;
  readonly stateDir: string;
  /** Addresses at which other nodes reach this one. */
  readonly addresses: readonly string[];
  /** The loopback addresses that this host has. */
  readonly loopback: readonly string[];
  /** Program and first arguments that run `heddle`. */
  readonly heddle: readonly string[];
  /** The agent's own environment, of which only listed names go on. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly allowShortLifetimes: boolean;
  /** Sidecars open ports for intercepted connections, with this policy; undefined: they do not. */
  readonly transparent?: OutboundPolicy | undefined;
  /** The user that sidecars run as; undefined is the workload's. */
  readonly sidecarUser?: string | undefined;
}

export interface InstanceFiles {
  readonly relaySocket: string;
  readonly adminSocket: string;
  readonly logFolder: string;
  /** Opened by the sidecar itself. */
  readonly accessLog: string;
  /** Where the application starts unless its Workload says otherwise: a folder that is its own. */
  readonly workFolder: string;
}

export interface PlannedInstance {
  readonly bootstrap: Bootstrap;
  readonly processes: InstancePlan;
}

const transparentOut = 'transparent/outbound';
const transparentIn = 'transparent/inbound';
/** Between looks at an application that is ready. */
const probeIntervalMs = 1000;
/** A sidecar lets requests in flight end first, which may take it half a minute. */
const drainTimeoutMs = 35_000;

/** A Unix socket's path has at most 108 bytes with its end; Node cuts longer ones without a word. */
export const maxSocketPath = 107;

export function instanceId(workload: PlacedWorkload, index: number, node: string): string {
  return `${workload.namespace}/${workload.workload}.${index}@${node}`;
}

/** Where what belongs to an instance is; short, for a socket's path is. */
export function instanceFiles(stateDir: string, id: string): InstanceFiles {
  const name = id.slice(0, id.lastIndexOf('@')).replace('/', '.');
  const logFolder = join(stateDir, 'logs', name);
  const folder = join(stateDir, 'run', createHash('sha256').update(id).digest('hex').slice(0, 12));
  return {
    relaySocket: join(folder, 'agent.sock'),
    adminSocket: join(folder, 'admin.sock'),
    logFolder,
    accessLog: join(logFolder, 'access.log'),
    workFolder: join(stateDir, 'work', name),
  };
}

/** The ports that an instance needs, in the order in which they are asked for. */
export function portRequests(
  workload: PlacedWorkload,
  { transparent }: Pick<NodeSettings, 'transparent'> = {},
): readonly PortRequest[] {
  const requests: PortRequest[] = [{ purpose: 'outbound', wanted: undefined }];
  if (transparent !== undefined) {
    requests.push(
      { purpose: transparentOut, wanted: undefined },
      { purpose: transparentIn, wanted: undefined },
    );
  }
  if (workload.ports.length > 0) requests.push({ purpose: 'link', wanted: undefined });
  for (const { port } of workload.ports) {
    requests.push({ purpose: `plain/${port}`, wanted: undefined });
    if (targetOf(workload, port) === undefined) requests.push({ purpose: `app/${port}`, wanted: undefined });
  }
  for (const call of workload.calls) requests.push({ purpose: callPurpose(call), wanted: call.localPort });
  return requests;
}

/** Which of them must be free when that role is started. */
export function portsOf(role: Role, ports: InstancePorts): readonly string[] {
  return Object.keys(ports).filter((purpose) => purpose.startsWith('app/') === (role === 'app'));
}

export function planInstance(
  workload: PlacedWorkload,
  index: number,
  ports: InstancePorts,
  settings: NodeSettings,
): PlannedInstance {
  const id = instanceId(workload, index, settings.node);
  const files = instanceFiles(settings.stateDir, id);
  const bootstrap = bootstrapOf(workload, id, ports, files, settings);
  const marks = {
    [mark.stateDir]: settings.stateDir,
    [mark.instance]: id,
    [mark.ports]: JSON.stringify(ports),
  };
  const log = (name: string) => join(files.logFolder, name);
  const sidecarUser = sidecarUserOf(workload, settings);
  const sidecar = planned(
    marks,
    'sidecar',
    {
      command: [...settings.heddle, 'sidecar', 'run', '--agent', files.relaySocket, '--instance', id],
      env: inherited(settings.env, sidecarUser),
      cwd: settings.stateDir,
      cwdKind: 'given',
      user: sidecarUser,
      stdoutFile: log('sidecar.out.log'),
      stderrFile: log('sidecar.err.log'),
    },
    bootstrap,
  );
  const variables = applicationVariables(workload, bootstrap);
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(workload.env)) own[name] = expand(value, variables);
  const env = { ...inherited(settings.env, workload.user), ...own, ...variables };
  const app = isSupervised(workload)
    ? planned(marks, 'app', {
        command: workload.command.map((word) => expand(word, env)),
        env,
        cwd: workload.cwd ?? files.workFolder,
        cwdKind: workload.cwd === undefined ? 'own' : 'given',
        user: workload.user,
        stdoutFile: log('app.out.log'),
        stderrFile: log('app.err.log'),
      })
    : undefined;
  const probes = {
    sidecar: {
      probe: { kind: 'http_socket', socket: files.adminSocket, path: '/ready' },
      intervalMs: probeIntervalMs,
    },
    app: {
      probe: appProbeOf(workload, bootstrap.apps),
      intervalMs: workload.readiness?.intervalMs ?? probeIntervalMs,
    },
  } as const;
  return { bootstrap, processes: { sidecar, app, probes, limits: limitsOf(workload) } };
}

/** Whose the instance's sockets and access log are too; undefined is the agent's own user. */
export function sidecarUserOf(
  { user }: PlacedWorkload,
  { sidecarUser }: Pick<NodeSettings, 'sidecarUser'>,
): string | undefined {
  return sidecarUser ?? user;
}

function isSupervised(workload: PlacedWorkload): boolean {
  return workload.command.length > 0;
}

/** Where the application listens by its own will: told by its port, or because others start it where it is declared. */
function targetOf(workload: PlacedWorkload, port: number): number | undefined {
  const own = workload.ports.find((one) => one.port === port)?.targetPort;
  return own ?? (isSupervised(workload) ? undefined : port);
}

function callPurpose(call: Call): string {
  return `call/${call.service.namespace}/${call.service.name}:${call.port}`;
}

function bootstrapOf(
  workload: PlacedWorkload,
  id: string,
  ports: InstancePorts,
  files: InstanceFiles,
  settings: NodeSettings,
): Bootstrap {
  const { link } = ports;
  const portOf = (purpose: string) => ports[purpose] ?? 0;
  const outside = (port: number): ListenAddress => ({ hosts: settings.addresses, port });
  return {
    instance: id,
    link: link === undefined ? undefined : outside(link),
    outbound: { hosts: settings.loopback, port: portOf('outbound') },
    localPorts: workload.calls.map((call) => ({
      service: call.service,
      port: call.port,
      localPort: portOf(callPurpose(call)),
    })),
    apps: workload.ports.map(({ port }) => ({
      port,
      appHost: '127.0.0.1',
      appPort: targetOf(workload, port) ?? ports[`app/${port}`] ?? port,
      plain: outside(portOf(`plain/${port}`)),
    })),
    admin: { socket: files.adminSocket },
    accessLogFile: files.accessLog,
    allowShortLifetimes: settings.allowShortLifetimes,
    ...(workload.limits === undefined ? {} : { limits: workload.limits }),
    ...(settings.transparent === undefined
      ? {}
      : {
          transparent: {
            outboundPort: portOf(transparentOut),
            inboundPort: portOf(transparentIn),
            outboundPolicy: settings.transparent,
          },
        }),
  };
}

/** What was asked for; else that its first port accepts; else nothing: it counts as ready while it runs. */
function appProbeOf({ readiness }: PlacedWorkload, apps: readonly AppPort[]): Probe {
  const asked = readiness === undefined ? undefined : apps.find(({ port }) => port === readiness.port);
  const target = asked ?? apps[0];
  if (target === undefined) return { kind: 'none' };
  const at = {
    host: target.appHost,
    port: target.appPort,
    ...(readiness?.timeoutMs === undefined ? {} : { timeoutMs: readiness.timeoutMs }),
  };
  switch (readiness?.kind) {
    case 'http':
      return { kind: 'http', ...at, path: readiness.path };
    case 'grpc':
      return { kind: 'grpc', ...at, service: readiness.service };
    default:
      return { kind: 'port', ...at };
  }
}

function limitsOf({ restart, readiness }: PlacedWorkload): InstanceLimits {
  const app = { ...defaultLimits, probeMisses: readiness?.failures ?? defaultLimits.probeMisses };
  const sidecar = { ...defaultLimits, stopTimeoutMs: drainTimeoutMs };
  if (restart === undefined) return { sidecar, app };
  const { baseMs, maxMs, stableMs } = restart;
  // Who asks for short delays gets them in a crash loop too.
  const loopDelayMs = maxMs < defaultLimits.backoffMaxMs ? maxMs : Math.max(maxMs, defaultLimits.loopDelayMs);
  return {
    sidecar,
    app: { ...app, backoffBaseMs: baseMs, backoffMaxMs: maxMs, healthyMs: stableMs, loopDelayMs },
  };
}

/** The marks stand outside the hash: a port of the sidecar alone is no reason to start the application anew. */
function planned(
  marks: Readonly<Record<string, string>>,
  role: Role,
  spec: ProcessSpec,
  bootstrap?: Bootstrap,
): PlannedProcess {
  const { command, env, cwd, user } = spec;
  const sorted = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256')
    .update(JSON.stringify([role, command, sorted, cwd, user ?? null, bootstrap ?? null]))
    .digest('hex')
    .slice(0, 16);
  const marked = { ...env, ...marks, [mark.role]: role, [mark.plan]: hash };
  return { spec: { ...spec, env: marked }, hash };
}
