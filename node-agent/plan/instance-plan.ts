/**
 * From a placed workload and the ports allocated for one instance to what is started for it: the sidecar's
 * bootstrap, both environments, both commands. Pure.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { AppPort, Bootstrap, ListenAddress } from '../../mesh/bootstrap.ts';
import type { Call } from '../../mesh/model.ts';
import type { PlacedWorkload } from '../../mesh/placement.ts';
import type { InstancePlan, PlannedProcess } from '../supervisor/instance-runner.ts';
import type { Role } from '../supervisor/instance-state.ts';
import { mark } from '../supervisor/marks.ts';
import type { InstancePorts, PortRequest } from '../supervisor/ports.ts';
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
}

export interface InstanceFiles {
  readonly relaySocket: string;
  readonly adminSocket: string;
  readonly logFolder: string;
}

export interface PlannedInstance {
  readonly bootstrap: Bootstrap;
  readonly processes: InstancePlan;
}

/** A Unix socket's path has at most 108 bytes with its end; Node cuts longer ones without a word. */
export const maxSocketPath = 107;

export function instanceId(workload: PlacedWorkload, index: number, node: string): string {
  return `${workload.namespace}/${workload.workload}.${index}@${node}`;
}

/** Where an instance's sockets and logs are; short, for a socket's path is. */
export function instanceFiles(stateDir: string, id: string): InstanceFiles {
  const folder = join(stateDir, 'run', createHash('sha256').update(id).digest('hex').slice(0, 12));
  return {
    relaySocket: join(folder, 'agent.sock'),
    adminSocket: join(folder, 'admin.sock'),
    logFolder: join(stateDir, 'logs', id.slice(0, id.lastIndexOf('@')).replace('/', '.')),
  };
}

/** The ports that an instance needs, in the order in which they are asked for. */
export function portRequests(workload: PlacedWorkload): readonly PortRequest[] {
  const requests: PortRequest[] = [{ purpose: 'outbound', wanted: undefined }];
  if (workload.ports.length > 0) requests.push({ purpose: 'link', wanted: undefined });
  for (const { port } of workload.ports) {
    requests.push({ purpose: `plain/${port}`, wanted: undefined });
    // An application that others start listens where it was declared.
    if (isSupervised(workload)) requests.push({ purpose: `app/${port}`, wanted: undefined });
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
  const sidecar = planned(
    marks,
    'sidecar',
    {
      command: [...settings.heddle, 'sidecar', 'run', '--agent', files.relaySocket],
      env: inherited(settings.env),
      cwd: settings.stateDir,
      user: workload.user,
      stdoutFile: log('sidecar.out.log'),
      stderrFile: log('sidecar.err.log'),
    },
    { probe: { kind: 'http_socket', socket: files.adminSocket, path: '/ready' }, bootstrap },
  );
  const appProbe = appProbeOf(workload, bootstrap.apps);
  const variables = applicationVariables(workload, bootstrap);
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(workload.env)) own[name] = expand(value, variables);
  const env = { ...inherited(settings.env), ...own, ...variables };
  const app = isSupervised(workload)
    ? planned(
        marks,
        'app',
        {
          command: workload.command.map((word) => expand(word, env)),
          env,
          cwd: workload.cwd ?? settings.stateDir,
          user: workload.user,
          stdoutFile: log('app.out.log'),
          stderrFile: log('app.err.log'),
        },
        { probe: appProbe },
      )
    : undefined;
  return { bootstrap, processes: { sidecar, app, appProbe } };
}

function isSupervised(workload: PlacedWorkload): boolean {
  return workload.command.length > 0;
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
      appPort: ports[`app/${port}`] ?? port,
      plain: outside(portOf(`plain/${port}`)),
    })),
    admin: { socket: files.adminSocket },
    accessLogFile: join(files.logFolder, 'access.log'),
    allowShortLifetimes: settings.allowShortLifetimes,
  };
}

/** What was asked for; else that its first port accepts; else nothing: it counts as ready while it runs. */
function appProbeOf(workload: PlacedWorkload, apps: readonly AppPort[]): Probe {
  const { readiness } = workload;
  const asked = readiness === undefined ? undefined : apps.find(({ port }) => port === readiness.port);
  const target = asked ?? apps[0];
  if (target === undefined) return { kind: 'none' };
  const { appHost: host, appPort: port } = target;
  return readiness?.kind === 'http'
    ? { kind: 'http', host, port, path: readiness.path }
    : { kind: 'port', host, port };
}

/** The marks stand outside the hash: a port of the sidecar alone is no reason to start the application anew. */
function planned(
  marks: Readonly<Record<string, string>>,
  role: Role,
  spec: ProcessSpec,
  rest: { readonly probe: Probe; readonly bootstrap?: Bootstrap },
): PlannedProcess {
  const { command, env, cwd, user } = spec;
  const sorted = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256')
    .update(JSON.stringify([role, command, sorted, cwd, user ?? null, rest.bootstrap ?? null]))
    .digest('hex')
    .slice(0, 16);
  const marked = { ...env, ...marks, [mark.role]: role, [mark.plan]: hash };
  return { spec: { ...spec, env: marked }, hash, probe: rest.probe };
}
