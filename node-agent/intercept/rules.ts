/**
 * The nftables rules that lead a workload's connections through its sidecar: one table per workload, replaced whole
 * in one transaction. Pure. A NAT chain sees only the first packet of a connection: what is established stays as it is.
 *
 *   output      what processes here begin ─▶ the sidecar's outbound port, but not what the sidecar itself begins
 *   prerouting  what others begin ─▶ its inbound port, but not what is for a port of the sidecar
 */
import { isIPv6 } from 'node:net';
import { mergeRanges, type PortRange, singlePort } from './ports.ts';

export interface Interception {
  /** `NAMESPACE/NAME`, or one instance of it, `NAMESPACE/NAME.INDEX`. */
  readonly workload: string;
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** Whose connections are never taken. */
  readonly sidecarUid: number;
  readonly scope: Scope;
  /** Where the sidecar listens for links and for callers without one. */
  readonly ownPorts: readonly number[];
  readonly exclusions: Exclusions;
}

/**
 * `namespace`: the network namespace is the workload's alone. `user`: it is shared; only that user's connections
 * are taken, and only those to these ports.
 */
export type Scope =
  | { readonly kind: 'namespace' }
  | { readonly kind: 'user'; readonly uid: number; readonly ports: readonly number[] };

export interface Exclusions {
  readonly outboundPorts: readonly PortRange[];
  readonly inboundPorts: readonly PortRange[];
  /** Addresses or prefixes (`10.0.0.0/8`), IPv4 and IPv6. */
  readonly outboundAddresses: readonly string[];
}

/** Of every table of ours; `heddle` is followed by the workload's name, whose characters nftables takes as they are. */
const tablePrefix = 'heddle_';

/** The table's name; workloads of one namespace have a table each. */
export function tableName(workload: string): string {
  return `${tablePrefix}${workload.replace('/', '.')}`;
}

/** Input for `nft -f`: puts the table in place of one that may be there. */
export function interceptionRules(interception: Interception): string {
  const { workload } = interception;
  const table = `table inet ${tableName(workload)}`;
  const chains = [
    chain('output', outputRules(interception)),
    ...(takesInbound(interception) ? [chain('prerouting', preroutingRules(interception))] : []),
  ];
  return [
    removalRules(workload),
    `${table} {`,
    `\tcomment "heddle: ${workload}"`,
    '',
    chains.join('\n\n'),
    '}',
    '',
  ].join('\n');
}

/** Input for `nft -f`: no table of this workload, also where there was none. */
export function removalRules(workload: string): string {
  const table = `table inet ${tableName(workload)}`;
  // `delete` alone fails where there is none; within one transaction nobody sees the empty one.
  return `${table}\ndelete ${table}`;
}

function chain(hook: 'output' | 'prerouting', rules: readonly string[]): string {
  const lines = [`type nat hook ${hook} priority -100; policy accept;`, ...rules];
  return [`\tchain ${hook} {`, ...lines.map((line) => `\t\t${line}`), '\t}'].join('\n');
}

function outputRules({ sidecarUid, scope, exclusions, outboundPort }: Interception): string[] {
  return [
    `meta skuid ${sidecarUid} return`,
    ...(scope.kind === 'user' ? [`meta skuid != ${scope.uid} return`] : []),
    // What a program says to itself, or to the sidecar's own ports, stays here.
    'fib daddr type local return',
    // Without its interface a link-local address leads nowhere.
    'ip6 daddr fe80::/10 return',
    ...exclusions.outboundAddresses.map((one) => `${isIPv6(hostOf(one)) ? 'ip6' : 'ip'} daddr ${one} return`),
    ...exceptPorts(exclusions.outboundPorts),
    `meta l4proto tcp redirect to :${outboundPort}`,
  ];
}

function preroutingRules({ scope, ownPorts, exclusions, inboundPort }: Interception): string[] {
  const ports = scope.kind === 'user' ? scope.ports : undefined;
  return [
    'iifname "lo" return',
    // What is only routed through here is not for this workload.
    'fib daddr type != local return',
    ...exceptPorts(ownPorts.map(singlePort)),
    ...exceptPorts(exclusions.inboundPorts),
    ports === undefined
      ? `meta l4proto tcp redirect to :${inboundPort}`
      : `tcp dport ${setOf(ports.map(singlePort))} redirect to :${inboundPort}`,
  ];
}

function takesInbound({ scope }: Interception): boolean {
  return scope.kind === 'namespace' || scope.ports.length > 0;
}

function exceptPorts(ranges: readonly PortRange[]): string[] {
  return ranges.length === 0 ? [] : [`tcp dport ${setOf(ranges)} return`];
}

function setOf(ranges: readonly PortRange[]): string {
  const members = mergeRanges(ranges).map(({ first, last }) => (first === last ? first : `${first}-${last}`));
  return `{ ${members.join(', ')} }`;
}

function hostOf(prefix: string): string {
  return prefix.split('/', 1)[0] ?? '';
}
