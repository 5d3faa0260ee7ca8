/** Small snapshots for tests of the relay: one workload that calls one service. */
import type { Call, EndpointSet, Snapshot } from '../../../mesh/model.ts';
import { type Manifest, manifestOf, type Part, partsOf } from '../../../proto/part.ts';
import { clusterOf, endpointOf, selfOf } from '../model.ts';

/** What `shop/WORKLOAD` gets where it calls `shop/SERVICE:80` for each of `services`. */
export function snapshotOf(workload: string, services: readonly string[], revision = 1): Snapshot {
  const refs = services.map((name) => ({ namespace: 'shop', name }));
  const calls = refs.map((service): Call => ({ service, port: 80, protocol: 'http', localPort: undefined }));
  return {
    version: { epoch: 1, revision },
    self: selfOf('shop', workload, { calls }),
    services: new Map(refs.map((service) => [`shop/${service.name}`, { service, ports: [] }])),
    clusters: new Map(refs.map((service) => [`shop/${service.name}:80`, clusterOf(service, 80)])),
    policies: new Map(),
    endpoints: new Map(services.map((name) => [`shop/${name}:80`, setOf(name, 1)])),
  };
}

export function setOf(service: string, version: number, ...addresses: string[]): EndpointSet {
  const identity = `spiffe://mesh.test/ns/shop/sa/${service}`;
  return {
    cluster: `shop/${service}:80`,
    version,
    endpoints: addresses.map((address, at) =>
      endpointOf(`shop/${service}.${at}@n2`, {
        ...{ identity, transport: 'link', addresses: [address], port: 15_002 },
      }),
    ),
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
