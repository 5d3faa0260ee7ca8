/**
 * Everything the pilot knows at one revision, as one immutable value. Store events fold into the next World
 * (`fold.ts`); `pilot/build` turns a World into Snapshots without I/O.
 */
import type { EndpointState, Locality, Version } from '../../mesh/model.ts';
import type { Resource } from '../../mesh/resource/resource.ts';

export interface World {
  /** `revision` is the number of the last change set. */
  readonly version: Version;
  readonly trustDomain: string;
  /** By kind, then by `NAMESPACE/NAME`. */
  readonly resources: ReadonlyMap<string, ReadonlyMap<string, StoredResource>>;
  /** By node name. */
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  /** By instance id (`NAMESPACE/WORKLOAD.INDEX@NODE`). */
  readonly instances: ReadonlyMap<string, InstanceRecord>;
}

export interface StoredResource {
  readonly resource: Resource;
  /** The change set that last wrote it; the precondition of the next write. */
  readonly revision: number;
  /** Milliseconds since 1970; route precedence breaks ties by it. */
  readonly createdMs: number;
}

/** A host that joined. Its facts are reported by its agent over its own stream. */
export interface NodeRecord {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly network: string;
  readonly locality: Locality;
  /** Fences reports of an agent's earlier life. */
  readonly bootId: string;
  readonly sequence: number;
  /** False once its lease expired: its endpoints count as `unknown`. */
  readonly alive: boolean;
}

/** One running instance of a Workload, as its agent reported it. */
export interface InstanceRecord {
  readonly id: string;
  readonly node: string;
  readonly namespace: string;
  readonly workload: string;
  readonly index: number;
  readonly state: EndpointState;
  readonly addresses: readonly string[];
  readonly linkPort: number;
  readonly ports: readonly { readonly port: number; readonly plainPort: number | undefined }[];
  readonly features: readonly string[];
  /** Why it is in that state, in a word or a line; for people. */
  readonly reason?: string;
  readonly restarts?: number;
}
