/** Small snapshots for tests of the relay: one workload that calls one service. */
import type { EndpointSet, Snapshot, Version } from '../../../mesh/model.ts';
import { type Manifest, manifestOf, type Part, partsOf } from '../../../proto/part.ts';

const timeouts = { connectMs: 1000, requestMs: 0, idleMs: 0, detectMs: 5000 };
const limits = { maxConnections: 100, maxRequests: 100 };

/** What `shop/WORKLOAD` gets where it calls `shop/SERVICE:80` for each of `services`. */
export function snapshotOf(workload: string, services: readonly string[], revision = 1): Snapshot {
  const version: Version = { epoch: 1, revision };
  const refs = services.map((name) => ({ namespace: 'shop', name }));
  return {
    version,
    self: {
      trustDomain: 'mesh.test',
      namespace: 'shop',
      workload,
      account: workload,
      node: 'n1',
      identity: `spiffe://mesh.test/ns/shop/sa/${workload}`,
      inbound: [],
      calls: refs.map((service) => ({ service, port: 80, protocol: 'http', localPort: undefined })),
      policies: [],
      accessLog: 'errors',
      via: false,
    },
    services: new Map(refs.map((service) => [`shop/${service.name}`, { service, ports: [] }])),
    clusters: new Map(
      refs.map((service) => [
        `shop/${service.name}:80`,
        {
          name: `shop/${service.name}:80`,
          service,
          port: 80,
          protocol: 'http',
          balance: 'round_robin',
          timeouts,
          retry: { attempts: 1 },
          limits,
        },
      ]),
    ),
    policies: new Map(),
    endpoints: new Map(services.map((name) => [`shop/${name}:80`, setOf(name, 1)])),
  };
}

export function setOf(service: string, version: number, ...addresses: string[]): EndpointSet {
  return {
    cluster: `shop/${service}:80`,
    version,
    endpoints: addresses.map((address, index) => ({
      id: `shop/${service}.${index}@n2`,
      identity: `spiffe://mesh.test/ns/shop/sa/${service}`,
      transport: 'link',
      addresses: [address],
      port: 15_002,
      targetPort: 80,
      network: 'default',
      locality: { region: '', zone: '' },
      weight: 1,
      state: 'ready',
      features: [],
      shared: false,
    })),
  };
}

export function wireOf(snapshot: Snapshot): {
  readonly parts: readonly Part[];
  readonly sets: readonly EndpointSet[];
  readonly manifest: Manifest;
} {
  const parts = partsOf(snapshot);
  return { parts, sets: [...snapshot.endpoints.values()], manifest: manifestOf(snapshot.version, parts) };
}
