/**
 * What a sidecar must know before any configuration: which instance it stands beside and which addresses
 * are its own. The node agent allocates them per instance; a static file names them.
 */
import type { LimitSettings } from './limits.ts';
import type { ServiceRef } from './model.ts';

/**
 * What Node is told for a sidecar, by whoever starts one (docs/adr/0017-what-the-path-costs.md). The collector's helper
 * threads cost more than they save beside one busy thread. A young generation of 8 MB outlives most requests in flight, so
 * that few are copied, promoted and collected as old; read buffers are freed with it, but sooner than it is full
 * (`sidecar/net/read-garbage.ts`). Those count against the limit of the whole heap, which V8 would set just above that of
 * a sidecar: each few MB of them began a collection of everything, and in small steps that costs more than at once.
 * Successors inherit it.
 */
export const sidecarNodeFlags: readonly string[] = [
  '--single-threaded-gc',
  '--max-semi-space-size=8',
  '--heap-growing-percent=300',
  '--no-incremental-marking',
];

export interface Bootstrap {
  /** `NAMESPACE/WORKLOAD.INDEX@NODE`. */
  readonly instance: string;
  /** Where callers' links come in; every local address unless named. Absent where the workload serves nothing. */
  readonly link: ListenAddress | undefined;
  /** The application's way in by `Host`; always loopback. */
  readonly outbound: ListenAddress;
  readonly localPorts: readonly LocalPort[];
  readonly apps: readonly AppPort[];
  readonly admin: AdminAddress;
  /** Where access log lines go; undefined is standard output. */
  readonly accessLogFile: string | undefined;
  /** Allows certificate lifetimes under a minute, for tests. */
  readonly allowShortLifetimes: boolean;
  /** Where connections come in that nftables takes from their own way; absent where nothing is intercepted. */
  readonly transparent?: Transparent;
  /** What stands in the place of the sidecar's own numbers; absent where nothing does. */
  readonly limits?: LimitSettings;
}

export interface Transparent {
  /** Connections that the application makes; on loopback. */
  readonly outboundPort: number;
  /** Connections to the application; on every local address. */
  readonly inboundPort: number;
  readonly outboundPolicy: OutboundPolicy;
}

/** What becomes of a connection to a place that the mesh does not know: it is let through as it is, or refused. */
export type OutboundPolicy = 'allow_any' | 'registry_only';

export interface ListenAddress {
  /** Literal addresses. */
  readonly hosts: readonly string[];
  readonly port: number;
}

/** The localhost port that stands for one service port the application calls. */
export interface LocalPort {
  readonly service: ServiceRef;
  readonly port: number;
  readonly localPort: number;
}

/** Where the application serves what the mesh calls `port`. */
export interface AppPort {
  readonly port: number;
  readonly appHost: string;
  readonly appPort: number;
  /** Where callers without a link reach this port (plaintext where permissive, or TLS); undefined is nowhere. */
  readonly plain: ListenAddress | undefined;
}

export type AdminAddress = { readonly socket: string } | { readonly port: number };

/** Key, certificates and trust, as the agent hands them over; all PEM. */
export interface IdentityBundle {
  /** PKCS #8. */
  readonly privateKey: string;
  /** Leaf first, then intermediates. */
  readonly certificateChain: string;
  /** The roots of this trust domain. */
  readonly trustBundle: string;
}
