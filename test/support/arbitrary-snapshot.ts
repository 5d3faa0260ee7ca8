/** fast-check arbitraries of the model: any value that the pilot could send. */
import fc from 'fast-check';
import type {
  AuthorizationPolicy,
  Backend,
  Cluster,
  Endpoint,
  EndpointSet,
  HeaderChange,
  PathChange,
  RouteFilter,
  RouteRule,
  Self,
  ServiceRef,
  ServiceRoutes,
  Snapshot,
  ValueMatch,
} from '../../mesh/model.ts';
import { clusterName, serviceKey } from '../../mesh/model.ts';

/** Plain objects, as decoders make them. */
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(fields, { noNullPrototype: true });
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const text = fc.string({ maxLength: 12, unit: 'grapheme' });
const port = fc.integer({ min: 1, max: 65535 });
const natural = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const revision = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const protocol = fc.constantFrom('http', 'http2', 'grpc', 'tcp', 'tls', 'detect');
const few = <T>(member: fc.Arbitrary<T>) => fc.array(member, { maxLength: 3 });
const maybe = <T>(member: fc.Arbitrary<T>) => fc.option(member, { nil: undefined });

const service: fc.Arbitrary<ServiceRef> = record({ namespace: name, name });
const limits = record({ maxConnections: natural, maxRequests: natural });
const timeouts = record({ connectMs: natural, requestMs: natural, idleMs: natural, detectMs: natural });
const version = record({ epoch: revision, revision });

export const anySelf: fc.Arbitrary<Self> = record({
  trustDomain: name,
  namespace: name,
  workload: name,
  account: name,
  node: name,
  identity: name.map((account) => `spiffe://mesh/ns/a/sa/${account}`),
  inbound: few(
    record({
      name: text,
      port,
      protocol,
      mtls: fc.constantFrom('strict', 'permissive'),
      shared: fc.boolean(),
      limits,
      timeouts,
    }),
  ),
  calls: few(record({ service, port, protocol, localPort: maybe(port) })),
  policies: fc.constant([]),
  accessLog: fc.constantFrom('none', 'errors', 'sampled', 'all'),
  via: fc.boolean(),
});

const valueMatch: fc.Arbitrary<ValueMatch> = record({
  name: text,
  kind: fc.constantFrom('exact', 'regex'),
  value: text,
});
const header = record({ name: text, value: text });
const change: fc.Arbitrary<HeaderChange> = record({
  set: few(header),
  add: few(header),
  remove: few(text),
});
const path: fc.Arbitrary<PathChange> = record({ kind: fc.constantFrom('full', 'prefix'), value: text });

const filter: fc.Arbitrary<RouteFilter> = fc.oneof(
  change.map((inner) => ({ kind: 'request_headers' as const, ...inner })),
  change.map((inner) => ({ kind: 'response_headers' as const, ...inner })),
  record({
    kind: fc.constant('redirect' as const),
    scheme: maybe(fc.constantFrom('http', 'https')),
    hostname: maybe(text),
    port: maybe(port),
    path: maybe(path),
    status: fc.constantFrom(301, 302, 303, 307, 308),
  }),
  record({ kind: fc.constant('rewrite' as const), hostname: maybe(text), path: maybe(path) }),
);

const backend: fc.Arbitrary<Backend> = record({
  weight: natural,
  filters: few(filter),
  target: fc.oneof(record({ cluster: text }), record({ problem: text })),
});

const rule: fc.Arbitrary<RouteRule> = record({
  route: text,
  match: record({
    path: maybe(record({ kind: fc.constantFrom('exact', 'prefix', 'regex'), value: text })),
    method: maybe(text),
    headers: few(valueMatch),
    query: few(valueMatch),
    serverName: maybe(text),
  }),
  filters: few(filter),
  backends: few(backend),
  timeouts: record({ requestMs: maybe(natural), backendRequestMs: maybe(natural) }),
});

export const anyRoutes: fc.Arbitrary<ServiceRoutes> = record({
  service,
  ports: few(record({ port, protocol, rules: few(rule) })),
});

export const anyCluster: fc.Arbitrary<Cluster> = record({
  service,
  port,
  protocol,
  balance: fc.constant('round_robin' as const),
  timeouts,
  retry: record({ attempts: natural }),
  limits,
}).map((cluster) => ({ name: clusterName(cluster.service, cluster.port), ...cluster }));

export const anyPolicy: fc.Arbitrary<AuthorizationPolicy> = record({
  name,
  action: fc.constantFrom('allow', 'deny'),
  rules: few(
    record({
      principals: few(text),
      namespaces: few(text),
      methods: few(text),
      paths: few(record({ kind: fc.constantFrom('exact', 'prefix'), value: text })),
      ports: few(port),
    }),
  ),
});

export const anyEndpoint: fc.Arbitrary<Endpoint> = record({
  id: name,
  identity: text,
  transport: fc.constantFrom('link', 'tls', 'plain'),
  addresses: few(text),
  port,
  targetPort: port,
  network: text,
  locality: record({ region: text, zone: text }),
  weight: natural,
  state: fc.constantFrom('ready', 'draining', 'unready', 'unknown'),
  features: few(text),
  shared: fc.boolean(),
});

const byId = (a: Endpoint, b: Endpoint) => (a.id < b.id ? -1 : 1);

/** The endpoints of one set, in the order that deltas keep. */
export const anyEndpoints: fc.Arbitrary<Endpoint[]> = fc
  .uniqueArray(anyEndpoint, { selector: (one) => one.id, maxLength: 5 })
  .map((list) => list.sort(byId));

export const anySnapshot: fc.Arbitrary<Snapshot> = record({
  version,
  self: anySelf,
  services: few(anyRoutes),
  clusters: few(anyCluster),
  policies: few(anyPolicy),
  sets: fc.array(record({ version: revision, endpoints: anyEndpoints }), { minLength: 3, maxLength: 3 }),
}).map(({ version: at, self, services, clusters, policies, sets }) => {
  const endpoints = new Map<string, EndpointSet>();
  for (const [index, { name: cluster }] of clusters.entries()) {
    const set = sets[index];
    if (set !== undefined) endpoints.set(cluster, { cluster, ...set });
  }
  const named = new Map(policies.map((policy) => [policy.name, policy]));
  return {
    version: at,
    self: { ...self, policies: [...named.keys()] },
    services: new Map(services.map((routes) => [serviceKey(routes.service), routes])),
    clusters: new Map(clusters.map((cluster) => [cluster.name, cluster])),
    policies: named,
    endpoints,
  };
});
