/** The bodies of the HTTP API, as its clients see them. */
import type { Problem } from '../../kit/parse.ts';
import type { Version } from '../../mesh/model.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { Outcome, ResourceRef } from '../world/change-set.ts';
import type { InstanceRecord, NodeRecord } from '../world/world.ts';
import type { SidecarStatus } from './sidecar-status.ts';

/** A resource with what the pilot adds; it can be written back as it is. */
export interface ResourceBody extends Resource {
  readonly metadata: Resource['metadata'] & {
    /** The change set that last wrote it; also its ETag and the value for If-Match. */
    readonly resourceVersion: string;
    /** RFC 3339. */
    readonly creationTimestamp: string;
  };
  readonly status?: { readonly findings: readonly FindingBody[] };
}

export interface FindingBody {
  /** `HED0101`. */
  readonly code: string;
  readonly name: string;
  readonly kind: string;
  /** `NAMESPACE/NAME`. */
  readonly resource: string;
  readonly path: string;
  readonly message: string;
}

export interface ListBody<T> {
  readonly version: Version;
  readonly items: readonly T[];
}

export interface ChangesRequest {
  readonly changes: readonly ChangeBody[];
  readonly dryRun?: boolean;
}

/** `ifRevision` is the precondition: 0 where the resource must not exist. */
export type ChangeBody =
  | { readonly put: unknown; readonly ifRevision?: number }
  | { readonly delete: ResourceRef; readonly ifRevision?: number };

export interface ChangesBody {
  readonly revision: number;
  readonly dryRun: boolean;
  readonly outcomes: readonly (ResourceRef & { readonly outcome: Outcome; readonly revision: number })[];
  /** What is accepted and still will not do what its author wants, of the resources written. */
  readonly warnings: readonly FindingBody[];
}

export interface TokenRequest {
  readonly node?: string;
  readonly ttlSeconds?: number;
}

export interface TokenBody {
  readonly token: string;
  readonly id: string;
  readonly node?: string;
  /** RFC 3339. */
  readonly expires: string;
}

export interface StatusBody {
  readonly version: Version;
  readonly trustDomain: string;
  /** `embedded` or `etcd`. */
  readonly store: string;
  /** False while the store is away: then this is the last good world. */
  readonly isCurrent: boolean;
  readonly counts: { readonly resources: number; readonly nodes: number; readonly instances: number };
  readonly sidecars: readonly SidecarStatus[];
}

export type NodeBody = NodeRecord & { readonly instances: number };
export type InstanceBody = InstanceRecord;

/** RFC 9457, with every single problem. */
export interface ProblemBody {
  /** `urn:heddle:problem:CODE`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly problems?: readonly Problem[];
}
