/**
 * What the pilot tells one sidecar, and the parts it is made of. Every value is immutable;
 * a change is a new Snapshot that shares what stayed the same.
 *
 * On the wire a Snapshot is a manifest: the sidecar's own part (`Self`), and names with content hashes
 * of shared parts (service routes, clusters, policies). Endpoint sets stand outside the hash and have
 * versions of their own.
 */

/** Orders snapshots of one sidecar: a higher epoch wins, then a higher revision. */
export interface Version {
  readonly epoch: number;
  readonly revision: number;
}

export interface Snapshot {
  readonly version: Version;
  readonly self: Self;
  /** By `serviceKey`. */
  readonly services: ReadonlyMap<string, ServiceRoutes>;
  /** By `clusterName`. */
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** By policy name, `NAMESPACE/NAME`. */
  readonly policies: ReadonlyMap<string, AuthorizationPolicy>;
  /** By cluster name. */
  readonly endpoints: ReadonlyMap<string, EndpointSet>;
}

/** The sidecar's own part: who it stands beside, what that workload serves and calls. */
export interface Self {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly workload: string;
  readonly account: string;
  readonly node: string;
  /** The workload's SPIFFE name. */
  readonly identity: string;
  readonly inbound: readonly InboundPort[];
  readonly calls: readonly Call[];
  /** Names of the authorization policies that bind this workload as receiver. */
  readonly policies: readonly string[];
  readonly accessLog: AccessLogMode;
  /** Whether the sidecar names itself in `Via`. */
  readonly via: boolean;
}

export type AccessLogMode = 'none' | 'errors' | 'sampled' | 'all';
/**
 * `tcp` and `tls` are opaque: bytes are carried as they are, of `tls` the server name is read from the first ones.
 * `detect`: the first bytes of each connection tell whether it is HTTP or opaque.
 */
export type AppProtocol = 'http' | 'http2' | 'grpc' | 'tcp' | 'tls' | 'detect';
export type MtlsMode = 'strict' | 'permissive';

/** A port on which the workload serves. `port` is what the sidecar forwards to unless the agent allocated another. */
export interface InboundPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: AppProtocol;
  readonly mtls: MtlsMode;
  /** An opaque port whose connections may ride on a link as CONNECT streams. */
  readonly shared: boolean;
  /** The limits of a request on this port, as the receiver enforces them. */
  readonly limits: Limits;
  readonly timeouts: Timeouts;
}

/** A service port that the workload declared it calls; only these have a localhost port of their own. */
export interface Call {
  readonly service: ServiceRef;
  readonly port: number;
  readonly protocol: AppProtocol;
  /** The localhost port that was asked for; undefined leaves the choice to the agent. */
  readonly localPort: number | undefined;
}

export interface ServiceRef {
  readonly namespace: string;
  readonly name: string;
}

/** How one service's requests are routed, for callers of one namespace (or of all). */
export interface ServiceRoutes {
  readonly service: ServiceRef;
  readonly ports: readonly PortRoutes[];
}

export interface PortRoutes {
  readonly port: number;
  readonly protocol: AppProtocol;
  /**
   * What requests are matched against, in order of precedence (Gateway API: most specific first, ties by age,
   * then name). Where no route is attached it holds one rule that matches everything and leads to the service.
   */
  readonly rules: readonly RouteRule[];
}

export interface RouteRule {
  /** The resource and rule it comes from, for logs and explanations: `HTTPRoute shop/orders #0`. */
  readonly route: string;
  readonly match: RouteMatch;
  readonly filters: readonly RouteFilter[];
  /** Weighted; empty where a redirect answers. */
  readonly backends: readonly Backend[];
  readonly timeouts: RouteTimeouts;
}

/** All conditions must hold; absent ones always do. */
export interface RouteMatch {
  readonly path: PathMatch | undefined;
  readonly method: string | undefined;
  readonly headers: readonly ValueMatch[];
  readonly query: readonly ValueMatch[];
  /** Of opaque connections: what SNI must name, exactly or (`*.example.com`) by its ending. In lower case. */
  readonly serverName: string | undefined;
}

/** `prefix` matches whole path elements (`/a` matches `/a`, `/a/b`, not `/ab`). */
export interface PathMatch {
  readonly kind: 'exact' | 'prefix' | 'regex';
  readonly value: string;
}

/** A condition on one header (name in lower case) or one query parameter. */
export interface ValueMatch {
  readonly name: string;
  readonly kind: 'exact' | 'regex';
  readonly value: string;
}

export type RouteFilter =
  | ({ readonly kind: 'request_headers' } & HeaderChange)
  | ({ readonly kind: 'response_headers' } & HeaderChange)
  | ({ readonly kind: 'redirect' } & Redirect)
  | ({ readonly kind: 'rewrite' } & Rewrite);

/** Applied in this order: set, add, remove. Names are in lower case. */
export interface HeaderChange {
  readonly set: readonly HeaderValue[];
  readonly add: readonly HeaderValue[];
  readonly remove: readonly string[];
}

export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

export interface Redirect {
  readonly scheme: 'http' | 'https' | undefined;
  readonly hostname: string | undefined;
  readonly port: number | undefined;
  readonly path: PathChange | undefined;
  readonly status: 301 | 302 | 303 | 307 | 308;
}

export interface Rewrite {
  readonly hostname: string | undefined;
  readonly path: PathChange | undefined;
}

/** `prefix` replaces what the rule's prefix matched. */
export interface PathChange {
  readonly kind: 'full' | 'prefix';
  readonly value: string;
}

export interface Backend {
  readonly weight: number;
  readonly filters: readonly RouteFilter[];
  /** The cluster's name, or why there is none; requests of this share then get 500. */
  readonly target: { readonly cluster: string } | { readonly problem: string };
}

export interface RouteTimeouts {
  /** The whole request, attempts included, of an upgrade until its 101; 0 switches the default off. */
  readonly requestMs: number | undefined;
  /** One attempt. */
  readonly backendRequestMs: number | undefined;
}

/** A service port's endpoints and how they are reached. */
export interface Cluster {
  readonly name: string;
  readonly service: ServiceRef;
  readonly port: number;
  readonly protocol: AppProtocol;
  readonly balance: 'round_robin';
  readonly timeouts: Timeouts;
  readonly retry: RetryPolicy;
  readonly limits: Limits;
}

export interface Timeouts {
  readonly connectMs: number;
  /** The whole request, unless the route says otherwise; 0 is none. */
  readonly requestMs: number;
  /** Without a byte either way. */
  readonly idleMs: number;
  /** How long a connection's first bytes may stay out or undecided, where they say what it is; 10 to 5,000. */
  readonly detectMs: number;
}

/** How often a request that surely was not handled is sent again elsewhere; 0 or 1 today. */
export interface RetryPolicy {
  readonly attempts: number;
}

export interface Limits {
  readonly maxConnections: number;
  readonly maxRequests: number;
}

export interface EndpointSet {
  readonly cluster: string;
  /** Grows with each change of this set. */
  readonly version: number;
  readonly endpoints: readonly Endpoint[];
}

export type Transport = 'link' | 'tls' | 'plain';

/** `unknown`: its node has not been heard of lately; picked last, not removed. */
export type EndpointState = 'ready' | 'draining' | 'unready' | 'unknown';

export interface Endpoint {
  /** Unique in the mesh: `NAMESPACE/WORKLOAD.INDEX@NODE` or the name of a ServiceInstance. */
  readonly id: string;
  /** The SPIFFE name that its certificate must carry; empty for `plain`. */
  readonly identity: string;
  readonly transport: Transport;
  /** Literal IPv4 and IPv6 addresses, in order of preference. */
  readonly addresses: readonly string[];
  /** Where to connect: the instance's link port, or the service's own for `tls` and `plain`. */
  readonly port: number;
  /** The receiver's port that the request is for (`heddle-port` on a link). */
  readonly targetPort: number;
  readonly network: string;
  readonly locality: Locality;
  readonly weight: number;
  readonly state: EndpointState;
  readonly features: readonly string[];
  /** An opaque port whose connections may ride on the link as CONNECT streams. */
  readonly shared: boolean;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
}

/** Enforced at the receiver; a matching `deny` wins, and where any `allow` exists one must match. */
export interface AuthorizationPolicy {
  readonly name: string;
  readonly action: 'allow' | 'deny';
  /** No rules: an `allow` admits nothing, a `deny` denies nothing. */
  readonly rules: readonly AuthorizationRule[];
}

/** Matches when every list that is not empty has a matching member. */
export interface AuthorizationRule {
  /** Exact SPIFFE names; `*` is any verified identity. */
  readonly principals: readonly string[];
  readonly namespaces: readonly string[];
  readonly methods: readonly string[];
  readonly paths: readonly AuthorizationPath[];
  readonly ports: readonly number[];
}

export interface AuthorizationPath {
  /** `prefix` here is textual: `/admin*`. */
  readonly kind: 'exact' | 'prefix';
  readonly value: string;
}

export function serviceKey(service: ServiceRef): string {
  return `${service.namespace}/${service.name}`;
}

export function clusterName(service: ServiceRef, port: number): string {
  return `${service.namespace}/${service.name}:${port}`;
}

/** Whether `a` comes after `b`. */
export function isNewer(a: Version, b: Version): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.revision > b.revision);
}

/** Whether a port's connections are carried as bytes and never looked into as requests. */
export function isOpaque(protocol: AppProtocol): boolean {
  return protocol === 'tcp' || protocol === 'tls';
}
