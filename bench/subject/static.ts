/** The static files of the benchmark's sidecars: every host and path goes to one upstream, defaults elsewhere. */
import type { Bootstrap, LocalPort } from '../../mesh/bootstrap.ts';
import { defaultInboundLimits, defaultLimits, defaultRetry, defaultTimeouts } from '../../mesh/defaults.ts';
import {
  type AuthorizationPolicy,
  type Cluster,
  clusterName,
  type Endpoint,
  type InboundPort,
  type MtlsMode,
  type Self,
  type ServiceRef,
  type ServiceRoutes,
  type Snapshot,
  serviceKey,
} from '../../mesh/model.ts';
import type { StaticConfig } from '../../proto/static-config.ts';
import { identityOf, namespace, trustDomain } from '../lab/certificates.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export type UpstreamProtocol = 'http1' | 'h2';

/** How much a caller knows. */
export interface Scale {
  readonly routes: number;
  readonly endpoints: number;
}

/** Ports that a sidecar has beside the one under test. */
export interface OwnPorts {
  readonly outbound: number;
  readonly admin: number;
}

const service: ServiceRef = { namespace, name: 'backend' };
const servicePort = 80;
const allowCaller = `${namespace}/caller`;

/** One plaintext hop: the rules of an inbound listener. */
export function hopConfig(
  listen: HostPort,
  upstream: HostPort,
  ports: OwnPorts,
  protocol: UpstreamProtocol = 'http1',
): StaticConfig {
  const app = {
    port: servicePort,
    appHost: upstream.host,
    appPort: upstream.port,
    plain: { hosts: [listen.host], port: listen.port },
  };
  return {
    bootstrap: bootstrap('b', ports, { apps: [app] }),
    identity: { kind: 'none' },
    snapshot: snapshot({ self: self('b', { inbound: [inboundPort('permissive', protocol)] }) }),
  };
}

/** The caller's side of the pair: a localhost port that stands for the backend. */
export function callerConfig(
  listen: HostPort,
  linkPort: number,
  ports: OwnPorts,
  scale: Scale = { routes: 1, endpoints: 1 },
): StaticConfig {
  const local: LocalPort = { service, port: servicePort, localPort: listen.port };
  const cluster = clusterName(service, servicePort);
  const calls: Self['calls'] = [{ service, port: servicePort, protocol: 'http', localPort: listen.port }];
  return {
    bootstrap: bootstrap('a', ports, { localPorts: [local] }),
    identity: identityFiles('a'),
    snapshot: {
      ...snapshot({ self: self('a', { calls }) }),
      services: new Map([[serviceKey(service), routesTo(cluster, scale.routes)]]),
      clusters: new Map([[cluster, clusterOf(cluster)]]),
      endpoints: new Map([
        [cluster, { cluster, version: 1, endpoints: endpoints(linkPort, scale.endpoints) }],
      ]),
    },
  };
}

/** The receiver's side: a link port, and one rule that lets the caller in. */
export function receiverConfig(
  linkPort: number,
  upstream: HostPort,
  ports: OwnPorts,
  protocol: UpstreamProtocol = 'http1',
): StaticConfig {
  const policy: AuthorizationPolicy = {
    name: allowCaller,
    action: 'allow',
    rules: [
      {
        principals: [identityOf('a')],
        namespaces: [],
        methods: [],
        paths: [{ kind: 'prefix', value: '/' }],
        ports: [],
      },
    ],
  };
  return {
    bootstrap: bootstrap('b', ports, {
      link: { hosts: ['127.0.0.1'], port: linkPort },
      apps: [{ port: servicePort, appHost: upstream.host, appPort: upstream.port, plain: undefined }],
    }),
    identity: identityFiles('b'),
    snapshot: {
      ...snapshot({
        self: self('b', { inbound: [inboundPort('strict', protocol)], policies: [allowCaller] }),
      }),
      policies: new Map([[allowCaller, policy]]),
    },
  };
}

function bootstrap(account: string, ports: OwnPorts, own: Partial<Bootstrap>): Bootstrap {
  return {
    instance: `${namespace}/${account}.0@bench`,
    link: undefined,
    outbound: { hosts: ['127.0.0.1'], port: ports.outbound },
    localPorts: [],
    apps: [],
    admin: { port: ports.admin },
    accessLogFile: '/dev/null',
    allowShortLifetimes: false,
    ...own,
  };
}

function self(account: 'a' | 'b', own: Partial<Self>): Self {
  return {
    trustDomain,
    namespace,
    workload: account,
    account,
    node: 'bench',
    identity: identityOf(account),
    inbound: [],
    calls: [],
    policies: [],
    accessLog: 'errors',
    via: false,
    ...own,
  };
}

function snapshot(own: Pick<Snapshot, 'self'>): Snapshot {
  return {
    version: { epoch: 1, revision: 1 },
    services: new Map(),
    clusters: new Map(),
    policies: new Map(),
    endpoints: new Map(),
    ...own,
  };
}

function identityFiles(account: 'a' | 'b'): StaticConfig['identity'] {
  return {
    kind: 'files',
    files: {
      privateKey: `${account}.key`,
      certificateChain: `${account}.crt`,
      trustBundle: 'ca.crt',
    },
  };
}

function inboundPort(mtls: MtlsMode, upstream: UpstreamProtocol): InboundPort {
  const protocol = upstream === 'h2' ? 'http2' : 'http';
  return {
    name: 'http',
    port: servicePort,
    protocol,
    mtls,
    shared: false,
    limits: defaultInboundLimits,
    timeouts: defaultTimeouts(protocol),
  };
}

/** `count` rules: all but the last are for paths that nobody asks for. */
function routesTo(cluster: string, count: number): ServiceRoutes {
  const everything = {
    route: 'HTTPRoute bench/backend #0',
    match: {
      path: { kind: 'prefix', value: '/' },
      method: undefined,
      headers: [],
      query: [],
      serverName: undefined,
    },
    filters: [],
    backends: [{ weight: 1, filters: [], target: { cluster } }],
    timeouts: { requestMs: undefined, backendRequestMs: undefined },
  } as const;
  const others = Array.from({ length: count - 1 }, (_, index) => ({
    ...everything,
    route: `HTTPRoute bench/other-${index} #0`,
    match: { ...everything.match, path: { kind: 'prefix', value: `/other/${index}` } as const },
  }));
  return { service, ports: [{ port: servicePort, protocol: 'http', rules: [...others, everything] }] };
}

function clusterOf(name: string): Cluster {
  return {
    name,
    service,
    port: servicePort,
    protocol: 'http',
    balance: 'round_robin',
    timeouts: defaultTimeouts('http'),
    retry: defaultRetry,
    limits: defaultLimits,
  };
}

/** `count` names for the one receiver there is; a caller keeps links to a few of them. */
function endpoints(linkPort: number, count: number): Endpoint[] {
  return Array.from({ length: count }, (_, index) => endpoint(linkPort, index));
}

function endpoint(linkPort: number, index: number): Endpoint {
  return {
    id: `${namespace}/b.${index}@bench`,
    identity: identityOf('b'),
    transport: 'link',
    addresses: ['127.0.0.1'],
    port: linkPort,
    targetPort: servicePort,
    network: '',
    locality: { region: '', zone: '' },
    weight: 1,
    state: 'ready',
    features: [],
    shared: false,
  };
}
