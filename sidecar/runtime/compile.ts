/**
 * Snapshot → Runtime. What did not change since the runtime before is taken over: live clusters with their
 * connections and counters, and the compiled routes of services whose part is the same object.
 */
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import type { Random } from '../../kit/random.ts';
import type { Bootstrap } from '../../mesh/bootstrap.ts';
import { compileAuthorization } from '../../mesh/decide/authorize.ts';
import { compileHosts } from '../../mesh/decide/hosts.ts';
import { compileRoutes } from '../../mesh/decide/routes.ts';
import { compileServerNames } from '../../mesh/decide/server-names.ts';
import { compileSplit } from '../../mesh/decide/split.ts';
import {
  type Backend,
  type Cluster,
  type InboundPort,
  type PortRoutes,
  type RouteRule,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
} from '../../mesh/model.ts';
import { type ClusterServices, LiveCluster, type PoolFactory } from '../cluster/live-cluster.ts';
import type { Filter } from '../filter/filter.ts';
import { configureFilters } from '../filter/index.ts';
import type { Metrics } from '../observe/metrics.ts';
import { SeriesSet } from '../observe/series.ts';
import type {
  BackendRuntime,
  Forwarding,
  InboundRuntime,
  PortRuntime,
  RuleRuntime,
  Runtime,
  ServiceRuntime,
} from './runtime.ts';

export interface CompileServices {
  readonly bootstrap: Bootstrap;
  readonly createPool: PoolFactory;
  readonly metrics: Metrics;
  readonly random: Random;
}

/** Throws ParseFailure with every problem; then nothing has changed. */
export function compileRuntime(
  snapshot: Snapshot,
  before: Runtime | undefined,
  services: CompileServices,
): Runtime {
  const problems: Problem[] = [];
  const clusters = liveClusters(snapshot, before, services);
  const compiled = compileServices(snapshot, before, clusters, services, problems);
  const inbound = compileInbound(snapshot, before, services, problems);
  if (problems.length > 0) throw new ParseFailure(problems);
  const { namespace } = snapshot.self;
  const hosts = compileHosts(snapshot.services.values(), {
    namespace,
    ownPort: services.bootstrap.outbound.port,
  });
  return { snapshot, hosts, services: compiled, clusters, inbound };
}

/** Brings live clusters up to the snapshot and lets go of those it no longer has; the runtime is in force now. */
export function settleClusters(runtime: Runtime, before: Runtime | undefined): void {
  for (const [name, cluster] of runtime.clusters) {
    cluster.description = runtime.snapshot.clusters.get(name) as Cluster;
    const endpoints = runtime.snapshot.endpoints.get(name);
    if (endpoints !== undefined && endpoints !== before?.snapshot.endpoints.get(name)) {
      cluster.setEndpoints(endpoints);
    }
  }
  for (const { port, app, http2 } of runtime.inbound.values()) {
    app.description = appCluster(runtime.snapshot, port);
    if (http2 !== undefined) http2.cluster.description = appCluster(runtime.snapshot, asHttp2(port));
  }
  for (const [name, cluster] of before?.clusters ?? []) {
    if (runtime.clusters.get(name) !== cluster) cluster.drain();
  }
  for (const [port, { app, http2 }] of before?.inbound ?? []) {
    if (runtime.inbound.get(port)?.app === app) continue;
    app.drain();
    http2?.cluster.drain();
  }
}

function liveClusters(
  snapshot: Snapshot,
  before: Runtime | undefined,
  services: CompileServices,
): ReadonlyMap<string, LiveCluster> {
  const clusters = new Map<string, LiveCluster>();
  for (const [name, description] of snapshot.clusters) {
    const live = before?.clusters.get(name);
    // Another protocol needs other connections.
    const isSame = live !== undefined && live.description.protocol === description.protocol;
    clusters.set(name, isSame ? live : new LiveCluster(description, clusterServices(services)));
  }
  return clusters;
}

function clusterServices({ createPool, random, bootstrap }: CompileServices): ClusterServices {
  return { createPool, random, caller: bootstrap.instance };
}

function compileServices(
  snapshot: Snapshot,
  before: Runtime | undefined,
  clusters: ReadonlyMap<string, LiveCluster>,
  services: CompileServices,
  problems: Problem[],
): ReadonlyMap<string, ServiceRuntime> {
  const compiled = new Map<string, ServiceRuntime>();
  for (const [key, routes] of snapshot.services) {
    const known = before?.services.get(key);
    const isSame =
      known !== undefined &&
      before?.snapshot.services.get(key) === routes &&
      clustersOf(routes).every((name) => before.clusters.get(name) === clusters.get(name));
    compiled.set(key, isSame ? known : compileService(routes, snapshot, clusters, services, problems));
  }
  return compiled;
}

function clustersOf(routes: ServiceRoutes): string[] {
  return routes.ports.flatMap((port) =>
    port.rules.flatMap((rule) =>
      rule.backends.flatMap(({ target }) => ('cluster' in target ? [target.cluster] : [])),
    ),
  );
}

function compileService(
  routes: ServiceRoutes,
  snapshot: Snapshot,
  clusters: ReadonlyMap<string, LiveCluster>,
  services: CompileServices,
  problems: Problem[],
): ServiceRuntime {
  const key = serviceKey(routes.service);
  const ports = new Map<number, PortRuntime>();
  for (const port of routes.ports) {
    const at = `services[${key}].ports[${port.port}]`;
    const rules = port.rules.map((rule) =>
      compileRule(rule, clusters, labelsFor(snapshot, key, port, rule), services.metrics, (message) =>
        problems.push({ path: `${at}.${rule.route}`, message }),
      ),
    );
    try {
      const { service } = routes;
      ports.set(port.port, {
        service,
        port: port.port,
        protocol: port.protocol,
        routes: compileRoutes({ rules }, at),
        names: compileServerNames(rules),
      });
    } catch (thrown) {
      if (!(thrown instanceof ParseFailure)) throw thrown;
      problems.push(...thrown.problems);
    }
  }
  return { ports };
}

function labelsFor(snapshot: Snapshot, key: string, port: PortRoutes, rule: RouteRule) {
  const { identity } = snapshot.self;
  return {
    direction: 'outbound',
    destination: key,
    port: port.port,
    source: identity,
    route: rule.route,
  } as const;
}

function compileRule(
  rule: RouteRule,
  clusters: ReadonlyMap<string, LiveCluster>,
  labels: ReturnType<typeof labelsFor>,
  metrics: Metrics,
  report: (message: string) => void,
): RuleRuntime {
  const configured = configureFilters(rule.filters, rule.match.path);
  const backends = rule.backends.map((backend) =>
    compileBackend(backend, rule, configured, clusters, report),
  );
  return { ...rule, configured, split: compileSplit(backends), series: new SeriesSet(metrics, labels) };
}

function compileBackend(
  backend: Backend,
  rule: RouteRule,
  configured: readonly Filter[],
  clusters: ReadonlyMap<string, LiveCluster>,
  report: (message: string) => void,
): BackendRuntime {
  const ownFilters = configureFilters(backend.filters, rule.match.path);
  const { weight, target } = backend;
  if ('problem' in target) return { weight, forwarding: undefined, problem: target.problem, ownFilters };
  const cluster = clusters.get(target.cluster);
  if (cluster === undefined) {
    report(`cluster ${target.cluster} is not in the snapshot`);
    return { weight, forwarding: undefined, problem: 'missing', ownFilters };
  }
  const { route, timeouts } = rule;
  const filters = [...configured, ...ownFilters];
  const forwarding = {
    cluster,
    route,
    filters,
    requestMs: timeouts.requestMs,
    attemptMs: timeouts.backendRequestMs,
  };
  return { weight, forwarding, problem: '', ownFilters };
}

function compileInbound(
  snapshot: Snapshot,
  before: Runtime | undefined,
  services: CompileServices,
  problems: Problem[],
): ReadonlyMap<number, InboundRuntime> {
  const policies = snapshot.self.policies.flatMap((name) => {
    const policy = snapshot.policies.get(name);
    if (policy === undefined)
      problems.push({ path: `self.policies[${name}]`, message: 'is not in the snapshot' });
    return policy === undefined ? [] : [policy];
  });
  const authorization = compileAuthorization(policies);
  const inbound = new Map<number, InboundRuntime>();
  for (const port of snapshot.self.inbound) {
    const known = before?.inbound.get(port.port);
    const isSame = known !== undefined && known.port.protocol === port.protocol;
    const app = isSame ? known.app : createApp(snapshot, port, services);
    const http2 =
      port.protocol !== 'detect'
        ? undefined
        : isSame
          ? known.http2
          : toApp(createApp(snapshot, asHttp2(port), services));
    inbound.set(port.port, { port, authorization, app, forwarding: toApp(app), http2 });
  }
  return inbound;
}

function toApp(cluster: LiveCluster): Forwarding {
  return { cluster, route: '', filters: [], requestMs: undefined, attemptMs: undefined };
}

function asHttp2(port: InboundPort): InboundPort {
  return { ...port, protocol: 'http2' };
}

/** The application behind a port, as a cluster with itself as the only endpoint. */
function createApp(snapshot: Snapshot, port: InboundPort, services: CompileServices) {
  const { bootstrap } = services;
  const description = appCluster(snapshot, port);
  const app = new LiveCluster(description, clusterServices(services));
  const address = bootstrap.apps.find((one) => one.port === port.port);
  app.setEndpoints({
    cluster: description.name,
    version: 0,
    endpoints: [
      {
        id: bootstrap.instance,
        identity: '',
        transport: 'plain',
        addresses: [address?.appHost ?? '127.0.0.1'],
        port: address?.appPort ?? port.port,
        targetPort: port.port,
        network: '',
        locality: { region: '', zone: '' },
        weight: 1,
        state: 'ready',
        features: [],
        shared: false,
      },
    ],
  });
  return app;
}

function appCluster({ self }: Snapshot, port: InboundPort): Cluster {
  return {
    name: `${self.namespace}/${self.workload}:${port.port}`,
    service: { namespace: self.namespace, name: self.workload },
    port: port.port,
    protocol: port.protocol,
    balance: 'round_robin',
    timeouts: port.timeouts,
    retry: { attempts: 1 },
    limits: port.limits,
  };
}
