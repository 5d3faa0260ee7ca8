/**
 * What must be known of a workload to intercept it: the ports of its sidecar and application, and whose processes
 * they are. The agent that runs it tells, or the file that its sidecar is configured by.
 */
import { MeshError } from '../../kit/errors.ts';
import { nearest } from '../../kit/nearest.ts';
import type { Bootstrap } from '../../mesh/bootstrap.ts';
import type { AgentStatus } from '../control.ts';

export interface Target {
  readonly ports: InterceptedPorts;
  /** Undefined where nobody told. */
  readonly sidecarPid: number | undefined;
  readonly appPid: number | undefined;
}

/** The ports of one instance that rules speak of. */
export interface InterceptedPorts {
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** Where the sidecar takes links and callers without one. */
  readonly ownPorts: readonly number[];
  readonly appPorts: readonly number[];
}

/** Undefined where the sidecar opens no ports for intercepted connections. */
export function interceptedPorts({ transparent, link, apps }: Bootstrap): InterceptedPorts | undefined {
  if (transparent === undefined) return undefined;
  const plain = apps.flatMap((app) => (app.plain === undefined ? [] : [app.plain.port]));
  return {
    outboundPort: transparent.outboundPort,
    inboundPort: transparent.inboundPort,
    ownPorts: [...(link === undefined ? [] : [link.port]), ...plain],
    appPorts: apps.map(({ appPort }) => appPort),
  };
}

/** `NAMESPACE/NAME` or `NAMESPACE/NAME.INDEX`: what an instance's id begins with. */
export const workloadShape = /^[a-z0-9][a-z0-9-]{0,62}\/[a-z0-9][a-z0-9-]{0,62}(?:\.[0-9]{1,5})?$/;

/** The one instance that `workload` names among those the agent runs. Throws MeshError. */
export function targetFromStatus(status: AgentStatus, workload: string): Target {
  const instances = status.instances.map((line) => ({ line, ...namesOf(line.id) }));
  const found = instances.filter(({ whole, instance }) => workload === whole || workload === instance);
  const [only] = found;
  if (only === undefined) {
    const known = [...new Set(instances.map(({ whole }) => whole))];
    throw unknownWorkload(`the agent of node ${status.node} runs no workload ${workload}`, workload, known);
  }
  if (found.length > 1) {
    const names = found.map(({ instance }) => instance).join(', ');
    throw invalid(`${found.length} instances of ${workload} run here; name one of them: ${names}`);
  }
  const { intercepted: ports, proxy, reason, sidecarPid, appPid } = only.line;
  if (proxy === '') throw invalid(`${workload} cannot be started on this node: ${reason}`);
  if (ports === null) throw invalid(notTransparent(workload, 'start the agent with --transparent'));
  return { ports, sidecarPid: sidecarPid ?? undefined, appPid: appPid ?? undefined };
}

/** What a sidecar's own file says, if it is that workload's. Throws MeshError. */
export function targetFromBootstrap(bootstrap: Bootstrap, file: string, workload: string): Target {
  const { whole, instance } = namesOf(bootstrap.instance);
  if (workload !== whole && workload !== instance) {
    throw unknownWorkload(`${file} is not of workload ${workload} but of ${whole}`, workload, []);
  }
  const ports = interceptedPorts(bootstrap);
  if (ports === undefined) throw invalid(notTransparent(workload, `add bootstrap.transparent to ${file}`));
  return { ports, sidecarPid: undefined, appPid: undefined };
}

/** `shop/orders.0@node-1` → the workload `shop/orders` and the instance `shop/orders.0`. */
function namesOf(id: string): { readonly whole: string; readonly instance: string } {
  const instance = id.slice(0, id.lastIndexOf('@'));
  return { whole: instance.slice(0, instance.lastIndexOf('.')), instance };
}

function unknownWorkload(message: string, workload: string, known: readonly string[]): MeshError {
  const near = nearest(workload, known);
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '';
  return new MeshError('not_found', `${message}${hint}`, { origin: 'local' });
}

function notTransparent(workload: string, advice: string): string {
  return `the sidecar of ${workload} has no ports for intercepted connections: ${advice}`;
}

function invalid(message: string): MeshError {
  return new MeshError('invalid', message, { origin: 'local' });
}
