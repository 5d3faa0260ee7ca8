/**
 * What a pilot asks of one node, and what the node's agent says of itself in answer.
 * The pilot decides which workloads a node runs (`Workload.spec.node` or `nodeSelector`, and `replicas`);
 * addresses, ports and process ids are the agent's own business.
 */
import type { LimitSettings } from './limits.ts';
import type { AppProtocol, Call, EndpointState, Locality } from './model.ts';

/** Everything that one node is to run, as one value; what it does not name is to stop. */
export interface Placement {
  /** Grows with each change of this node's placement; a lower one is old news. */
  readonly version: number;
  readonly trustDomain: string;
  readonly workloads: readonly PlacedWorkload[];
}

export interface PlacedWorkload {
  readonly namespace: string;
  readonly workload: string;
  readonly account: string;
  /** How many instances this node runs. */
  readonly replicas: number;
  /** Program and arguments, never a shell line; empty where the application is started by somebody else. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The working directory; undefined is the agent's own. */
  readonly cwd: string | undefined;
  /** The user the application runs as; only an agent that is root can obey. */
  readonly user: string | undefined;
  readonly ports: readonly PlacedPort[];
  readonly calls: readonly Call[];
  readonly readiness: Readiness | undefined;
  /** How it is started again after a fall; left out: the agent's own defaults. */
  readonly restart?: RestartDelays;
  /** Of its sidecars; absent where all keep their own numbers. */
  readonly limits?: LimitSettings;
}

export interface RestartDelays {
  readonly baseMs: number;
  readonly maxMs: number;
  /** After so long without a fall the delay starts over. */
  readonly stableMs: number;
}

/** A port of the workload under its mesh name; where the application really listens the agent allocates. */
export interface PlacedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: AppProtocol;
  /** Where the program itself listens, whatever the agent would choose. */
  readonly targetPort?: number;
}

/** When an application counts as ready; without it, as soon as it runs. */
export type Readiness =
  | ({ readonly kind: 'port'; readonly port: number } & ProbeTimes)
  | ({ readonly kind: 'http'; readonly port: number; readonly path: string } & ProbeTimes)
  | ({ readonly kind: 'grpc'; readonly port: number; readonly service: string } & ProbeTimes);

/** What is left out is the agent's own default. */
export interface ProbeTimes {
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  /** So many failures in a row make it unready. */
  readonly failures?: number;
}

/** What an agent knows of its host. */
export interface NodeFacts {
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Literal addresses at which other nodes reach this one. */
  readonly addresses: readonly string[];
  readonly network: string;
  readonly locality: Locality;
  /** The kernel's boot id. */
  readonly bootId: string;
}

/** One instance as its agent sees it now. */
export interface InstanceReport {
  /** `NAMESPACE/WORKLOAD.INDEX@NODE`. */
  readonly id: string;
  readonly namespace: string;
  readonly workload: string;
  readonly index: number;
  /** What its endpoints count as. */
  readonly state: EndpointState;
  /**
   * Why, in a word or a line: `starting`, `crashloop`, `sidecar not ready` …; empty when it is ready and as it was
   * asked to be.
   */
  readonly reason: string;
  readonly addresses: readonly string[];
  /** 0 where the workload serves nothing. */
  readonly linkPort: number;
  readonly ports: readonly { readonly port: number; readonly plainPort: number | undefined }[];
  readonly features: readonly string[];
  readonly restarts: number;
}
