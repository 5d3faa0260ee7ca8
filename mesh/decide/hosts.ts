// hot: one look-up per request that comes by `Host`; the rest is at compile time or on a miss.
/**
 * What an application calls → service and port. A service is known as `orders` (from its own namespace),
 * `orders.shop`, `orders.shop.mesh`, and for browsers and curl as `orders.localhost`, `orders.shop.localhost`,
 * each with or without a port.
 */
import { editDistance, nearest } from '../../kit/nearest.ts';
import { type AppProtocol, isOpaque, type ServiceRef, serviceKey } from '../model.ts';

/** Where the whole name of a service ends. */
export const meshDomain = 'mesh';

const localDomain = 'localhost';

/** A service and its ports, as far as names are concerned (`ServiceRoutes` is one). */
export interface HostedService {
  readonly service: ServiceRef;
  readonly ports: readonly { readonly port: number; readonly protocol: AppProtocol }[];
}

export interface HostTarget {
  readonly service: ServiceRef;
  /** `serviceKey` of it. */
  readonly key: string;
  readonly port: number;
}

export interface HostOptions {
  /** The caller's namespace, in which short names are looked up. */
  readonly namespace: string;
  /** The sidecar's own outbound port: `orders.localhost:15001` names no port of the service. */
  readonly ownPort: number | undefined;
}

export interface HostTable {
  /** The service port that `authority` (host and optional port, lower case) names; undefined where it is not known. */
  find(authority: string): HostTarget | undefined;
}

/** A name that was taken apart. */
export interface ServiceName {
  readonly service: ServiceRef;
  readonly port: number | undefined;
}

export function compileHosts(services: Iterable<HostedService>, options: HostOptions): HostTable {
  const targets = new Map<string, HostTarget>();
  for (const hosted of services) addNames(targets, hosted, options);
  return { find: (authority) => targets.get(authority) };
}

function addNames(targets: Map<string, HostTarget>, hosted: HostedService, options: HostOptions): void {
  const key = serviceKey(hosted.service);
  const target = (port: number): HostTarget => ({ service: hosted.service, key, port });
  const preferred = preferredPort(hosted.ports);
  for (const name of namesOf(hosted.service, options.namespace)) {
    if (preferred !== undefined) {
      targets.set(name, target(preferred));
      if (options.ownPort !== undefined) targets.set(`${name}:${options.ownPort}`, target(preferred));
    }
    // After the sidecar's own port: a service's port of the same number is meant by its number.
    for (const { port } of hosted.ports) targets.set(`${name}:${port}`, target(port));
  }
}

/** All names of a service, as a caller in `namespace` may write them. */
export function namesOf(service: ServiceRef, namespace: string): string[] {
  const long = `${service.name}.${service.namespace}`;
  const names = [long, `${long}.${meshDomain}`, `${long}.${localDomain}`];
  if (service.namespace === namespace) names.push(service.name, `${service.name}.${localDomain}`);
  return names;
}

/** The port meant by a name without one: the only HTTP port, else 80, else the first. */
export function preferredPort(ports: HostedService['ports']): number | undefined {
  const http = ports.filter((port) => !isOpaque(port.protocol));
  if (http.length === 1) return http[0]?.port;
  return (ports.find((port) => port.port === 80) ?? http[0] ?? ports[0])?.port;
}

/** The service that `authority` names, whether there is one or not; undefined where it cannot be a service's name. */
export function parseServiceName(authority: string, namespace: string): ServiceName | undefined {
  const [, host, digits] = authorityShape.exec(authority) ?? [];
  if (host === undefined) return undefined;
  const labels = host.split('.');
  const domain = labels.at(-1);
  if (labels.length > 1 && (domain === localDomain || (domain === meshDomain && labels.length === 3))) {
    labels.pop();
  }
  const [name, own = namespace, ...more] = labels;
  if (name === undefined || more.length > 0 || isReserved(name) || isReserved(own)) return undefined;
  return { service: { namespace: own, name }, port: digits === undefined ? undefined : Number(digits) };
}

/** Lower-case DNS labels that begin with a letter or, after it, digits; an IPv4 address is none. */
const authorityShape =
  /^((?=[^:]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?){0,2})(?::([0-9]{1,5}))?$/;

/** A name cannot be told from its ending if a service or namespace is called like one. */
export function isReserved(label: string): boolean {
  return label === localDomain || label === meshDomain;
}

/** The names that may have been meant by `authority`, best first, in the form a caller in `namespace` would use. */
export function namesNear(authority: string, known: Iterable<ServiceRef>, namespace: string): string[] {
  const wanted = parseServiceName(authority, namespace)?.service;
  if (wanted === undefined) return [];
  const services = [...known];
  return nearest(wanted.name, new Set(services.map((service) => service.name)))
    .flatMap((name) => byNamespace(services, name, wanted.namespace))
    .map((service) =>
      service.namespace === namespace ? service.name : `${service.name}.${service.namespace}`,
    )
    .slice(0, maxNames);
}

/** The services called `name`, those whose namespace is most like `wanted` first. */
function byNamespace(services: readonly ServiceRef[], name: string, wanted: string): ServiceRef[] {
  const distance = (service: ServiceRef) => editDistance(service.namespace, wanted);
  return services.filter((service) => service.name === name).sort((a, b) => distance(a) - distance(b));
}

const maxNames = 3;
