/** Kinds as people type them: any case, singular or plural, or short. */
import { nearest } from '../../kit/nearest.ts';
import { resourceKinds } from '../../mesh/resource/index.ts';
import { wrongUse } from './failure.ts';

const shortNames: Readonly<Record<string, string>> = {
  svc: 'Service',
  si: 'ServiceInstance',
  wl: 'Workload',
  hr: 'HTTPRoute',
  gr: 'GRPCRoute',
  tr: 'TCPRoute',
  tls: 'TLSRoute',
  tp: 'TrafficPolicy',
  ap: 'AuthorizationPolicy',
  pa: 'PeerAuthentication',
};

/** What stands beside resources in `get`: records that agents report. */
export type Records = 'nodes' | 'instances';

/** The kind's own name, or which records. Throws CommandFailure that lists what there is. */
export function findKind(typed: string): { readonly kind: string } | { readonly records: Records } {
  const name = typed.toLowerCase();
  if (name === 'node' || name === 'nodes') return { records: 'nodes' };
  if (name === 'instance' || name === 'instances') return { records: 'instances' };
  const short = shortNames[name];
  if (short !== undefined && resourceKinds.has(short)) return { kind: short };
  for (const kind of resourceKinds.keys()) {
    const own = kind.toLowerCase();
    if (name === own || name === pluralOf(own)) return { kind };
  }
  const kinds = [...resourceKinds.keys(), 'nodes', 'instances'];
  const names = kinds.flatMap((kind) => [kind.toLowerCase(), pluralOf(kind.toLowerCase())]);
  const [near] = nearest(name, names);
  const hint = near === undefined ? `kinds are ${kinds.join(', ')}` : `did you mean '${near}'?`;
  throw wrongUse(`there is no kind '${typed}'; ${hint}`);
}

/** As `findKind`, where only resources make sense. */
export function findResourceKind(typed: string): string {
  const found = findKind(typed);
  if ('kind' in found) return found.kind;
  throw wrongUse(`${found.records} are reported by agents; 'get' and 'describe node' show them`);
}

function pluralOf(name: string): string {
  return name.endsWith('y') ? `${name.slice(0, -1)}ies` : `${name}s`;
}
