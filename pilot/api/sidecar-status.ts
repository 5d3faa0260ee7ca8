/** What operators see of the sidecars; the distributor knows it and the API shows it. */
import type { Problem } from '../../kit/parse.ts';
import type { Version } from '../../mesh/model.ts';

export interface SidecarStatus {
  /** `NAMESPACE/WORKLOAD.INDEX@NODE`. */
  readonly sidecar: string;
  readonly node: string;
  /** The version whose content it runs; undefined before the first. */
  readonly acked: Version | undefined;
  /** What it does not run yet. */
  readonly pending: PendingStatus | undefined;
  /** Its last refusal; gone once it took a later version. */
  readonly nack: NackStatus | undefined;
}

export interface PendingStatus {
  readonly version: Version;
  /** Why it was not sent; undefined while it is under way. */
  readonly withheld: string | undefined;
  /** Milliseconds since 1970 when it was sent. */
  readonly sinceMs: number | undefined;
}

export interface NackStatus {
  readonly version: Version;
  readonly problems: readonly Problem[];
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

export interface StatusSource {
  /** Every sidecar whose node is connected to this pilot. */
  status(): readonly SidecarStatus[];
}
