/** Resources → the file from which one sidecar runs with neither agent nor pilot. */
import { MeshError } from '../../kit/errors.ts';
import type { AppPort, Bootstrap, LocalPort } from '../../mesh/bootstrap.ts';
import type { Self } from '../../mesh/model.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { StaticConfig, StaticIdentity } from '../../proto/static-config.ts';
import type { StoredResource, World } from '../world/world.ts';
import { createBuilder } from './build.ts';
import { catalogOf, type Stored } from './catalog.ts';

export interface StaticOptions {
  /** `NAME` where only one namespace has such a Workload, or `NAMESPACE/NAME`. */
  readonly workload: string;
  /** The Workload's own node, else `local`, where left out. */
  readonly node: string | undefined;
  readonly trustDomain: string;
  /** Where others reach this sidecar. */
  readonly hosts: readonly string[];
  readonly loopback: readonly string[];
  readonly outboundPort: number;
  readonly linkPort: number;
  readonly adminPort: number;
  readonly identity: StaticIdentity;
  readonly allowShortLifetimes: boolean;
}

/** Localhost ports of calls that ask for none, and ports for callers without a link, count from here. */
const firstLocalPort = 15_100;
const firstPlainPort = 15_200;

/** Throws MeshError `not_found` where the Workload is not among the resources, `invalid` where its name is not enough. */
export function staticConfig(resources: readonly Resource[], options: StaticOptions): StaticConfig {
  const world = offlineWorld(resources, options.trustDomain);
  const workload = findWorkload(world, options.workload);
  const node = options.node ?? workload.resource.spec.node ?? 'local';
  const snapshot = createBuilder().build(world, { workload: workload.key, node });
  const bootstrap = bootstrapOf(workload, snapshot.self, options);
  return { bootstrap, identity: options.identity, snapshot };
}

/** A World that nobody runs: resources alone, in the order in which they were given. */
export function offlineWorld(resources: readonly Resource[], trustDomain: string): World {
  const byKind = new Map<string, Map<string, StoredResource>>();
  resources.forEach((resource, index) => {
    const ofKind = byKind.get(resource.kind) ?? new Map<string, StoredResource>();
    byKind.set(resource.kind, ofKind);
    ofKind.set(`${resource.metadata.namespace}/${resource.metadata.name}`, {
      resource,
      revision: 1,
      createdMs: index,
    });
  });
  const version = { epoch: 1, revision: 1 };
  return { version, trustDomain, resources: byKind, nodes: new Map(), instances: new Map() };
}

function findWorkload(world: World, name: string): Stored<'Workload'> {
  const all = catalogOf(world).all('Workload');
  const found = all.filter((each) => each.key === name || each.resource.metadata.name === name);
  const [only, ...others] = found;
  if (only === undefined) {
    const known = all.map((each) => each.key).join(', ') || 'none';
    throw new MeshError('not_found', `no Workload ${name}; there is: ${known}`, { origin: 'local' });
  }
  if (others.length > 0) {
    const keys = found.map((each) => each.key).join(' or ');
    throw new MeshError('invalid', `several Workloads are called ${name}: say ${keys}`, { origin: 'local' });
  }
  return only;
}

function bootstrapOf(workload: Stored<'Workload'>, self: Self, options: StaticOptions): Bootstrap {
  const hasLink = options.identity.kind !== 'none' && self.inbound.length > 0;
  return {
    instance: `${workload.key}.0@${self.node}`,
    link: hasLink ? { hosts: options.hosts, port: options.linkPort } : undefined,
    outbound: { hosts: options.loopback, port: options.outboundPort },
    localPorts: localPorts(self),
    apps: appPorts(workload, self, options),
    admin: { port: options.adminPort },
    accessLogFile: undefined,
    allowShortLifetimes: options.allowShortLifetimes,
  };
}

/** Every call has a localhost port: the one that it asks for, else the next free one. */
function localPorts(self: Self): LocalPort[] {
  const taken = new Set(self.calls.map((call) => call.localPort));
  let next = firstLocalPort;
  return self.calls.map(({ service, port, localPort }) => {
    if (localPort !== undefined) return { service, port, localPort };
    while (taken.has(next)) next++;
    return { service, port, localPort: next++ };
  });
}

/** Ports that take callers without a link have an address for them, others have none. */
function appPorts(workload: Stored<'Workload'>, self: Self, options: StaticOptions): AppPort[] {
  return self.inbound.map(({ port, mtls }, index) => {
    const own = workload.resource.spec.ports.find((each) => each.port === port);
    const plain = mtls === 'permissive' ? { hosts: options.hosts, port: firstPlainPort + index } : undefined;
    return { port, appHost: '127.0.0.1', appPort: own?.targetPort ?? port, plain };
  });
}
