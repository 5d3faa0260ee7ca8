/**
 * The Config stream between a node agent and a pilot: all sidecars of one node over one gRPC stream.
 * Parts and endpoint sets come before the manifest that needs them, a manifest before the answer it serves.
 */
import type { Problem } from '../kit/parse.ts';
import type { ServiceRef, Version } from '../mesh/model.ts';
import type { Placement } from '../mesh/placement.ts';
import type { EndpointUpdate } from './assembler.ts';
import type { ResolveAnswer } from './conversation.ts';
import type { Manifest, Part } from './part.ts';
import type { Protocol } from './protocol.ts';

/** Agent → pilot. `hello` comes first. */
export type ConfigRequest =
  | ConfigHello
  | Subscribe
  | { readonly kind: 'unsubscribe'; readonly sidecar: string }
  | { readonly kind: 'ack'; readonly sidecar: string; readonly push: number; readonly version: Version }
  | Nack
  /** `name` is the host as the application said it, without a port. */
  | { readonly kind: 'resolve'; readonly id: number; readonly sidecar: string; readonly name: string }
  /** Cluster names whose delta had another base. */
  | { readonly kind: 'want_endpoints'; readonly clusters: readonly string[] }
  /** Hashes of parts that a manifest names and the agent does not hold. */
  | { readonly kind: 'want_parts'; readonly hashes: readonly string[] }
  /** Confirms the `endpoints` of the same `push`, once they are handed on. */
  | { readonly kind: 'endpoint_ack'; readonly push: number };

export interface ConfigHello {
  readonly kind: 'hello';
  readonly protocol: Protocol;
  readonly node: string;
  readonly bootId: string;
  /** Hashes of the parts it holds; they are not sent again. */
  readonly parts: readonly string[];
  readonly endpoints: readonly HeldEndpoints[];
}

/** An endpoint set that the agent holds; `hash` by `endpointsHash`, since versions of two pilots may differ. */
export interface HeldEndpoints {
  readonly cluster: string;
  readonly version: number;
  readonly hash: string;
}

export interface Subscribe {
  readonly kind: 'subscribe';
  /** The instance's id, `NAMESPACE/WORKLOAD.INDEX@NODE`. */
  readonly sidecar: string;
  /** What the sidecar itself said in its hello. */
  readonly protocol: Protocol;
  /** The version it applied last, where it did. */
  readonly version: Version | undefined;
  /** Services it learned by `resolve` in earlier streams. */
  readonly resolved: readonly ServiceRef[];
  /** `manifestDigest` of the manifest it runs; empty where there is none. */
  readonly manifestDigest: string;
}

export interface Nack {
  readonly kind: 'nack';
  readonly sidecar: string;
  readonly push: number;
  readonly version: Version;
  readonly problems: readonly Problem[];
}

/** Pilot → agent. `hello` comes first. */
export type ConfigResponse =
  | { readonly kind: 'hello'; readonly protocol: Protocol; readonly pilot: string }
  | { readonly kind: 'parts'; readonly parts: readonly Part[] }
  /** To be confirmed by `endpoint_ack`; at most one is under way. */
  | { readonly kind: 'endpoints'; readonly push: number; readonly update: EndpointUpdate }
  /** To be confirmed by `ack` or `nack`; at most one is under way for each sidecar. */
  | {
      readonly kind: 'manifest';
      readonly sidecar: string;
      readonly push: number;
      readonly manifest: Manifest;
    }
  | {
      readonly kind: 'resolved';
      readonly id: number;
      readonly sidecar: string;
      readonly answer: ResolveAnswer;
    }
  | { readonly kind: 'placement'; readonly placement: Placement }
  /** PEM of the roots that the mesh trusts now. */
  | { readonly kind: 'trust'; readonly trustBundle: string }
  /** The subscription was not accepted, or ended because the workload left the node. */
  | { readonly kind: 'refused'; readonly sidecar: string; readonly reason: string };
