/** Values of the model as tests need them: all of a value's fields, and what the test is about on top. */
import {
  type Cluster,
  clusterName,
  type Endpoint,
  type Self,
  type ServiceRef,
  type Snapshot,
} from '../../mesh/model.ts';

/** A plain HTTP port without bounds in time. */
export function clusterOf(service: ServiceRef, port: number, given: Partial<Cluster> = {}): Cluster {
  return {
    name: clusterName(service, port),
    service,
    port,
    protocol: 'http',
    balance: 'round_robin',
    timeouts: { connectMs: 1_000, requestMs: 0, idleMs: 0, detectMs: 5_000 },
    retry: { attempts: 1 },
    limits: { maxConnections: 100, maxRequests: 100 },
    ...given,
  };
}

/** A ready one without mTLS on this machine. */
export function endpointOf(id: string, given: Partial<Endpoint> = {}): Endpoint {
  return {
    id,
    identity: '',
    transport: 'plain',
    addresses: ['127.0.0.1'],
    port: 1,
    targetPort: 80,
    network: '',
    locality: { region: '', zone: '' },
    weight: 1,
    state: 'ready',
    features: [],
    shared: false,
    ...given,
  };
}

/** A workload that runs as an account of its own name, and neither serves nor calls anything. */
export function selfOf(namespace: string, workload: string, given: Partial<Self> = {}): Self {
  const trustDomain = given.trustDomain ?? 'mesh.test';
  const account = given.account ?? workload;
  return {
    trustDomain,
    namespace,
    workload,
    account,
    node: 'n1',
    identity: `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`,
    inbound: [],
    calls: [],
    policies: [],
    accessLog: 'errors',
    via: false,
    ...given,
  };
}

export function snapshotFor(self: Self, given: Partial<Snapshot> = {}): Snapshot {
  return {
    version: { epoch: 1, revision: 1 },
    self,
    services: new Map(),
    clusters: new Map(),
    policies: new Map(),
    endpoints: new Map(),
    ...given,
  };
}
