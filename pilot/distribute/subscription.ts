/** One sidecar's place in a stream: what it runs, what is under way, what it refused and why. */
import type { Problem } from '../../kit/parse.ts';
import { type ServiceRef, serviceKey, type Version } from '../../mesh/model.ts';
import type { ConfigResponse } from '../../proto/config-wire.ts';
import type { NackStatus, PendingStatus, SidecarStatus } from '../api/sidecar-status.ts';
import type { InstanceName } from './instance-id.ts';
import type { Plan, PlannedConfig, Subscriber } from './planner.ts';

export interface Push {
  readonly push: number;
  readonly version: Version;
  readonly config: PlannedConfig;
  readonly sinceMs: number;
}

export interface SubscriptionInit {
  readonly id: string;
  readonly name: InstanceName;
  readonly features: ReadonlySet<string>;
  readonly version: Version | undefined;
  readonly digest: string;
  readonly resolved: Map<string, ServiceRef>;
}

export class Subscription {
  readonly id: string;
  readonly name: InstanceName;
  readonly features: ReadonlySet<string>;
  readonly resolved: Map<string, ServiceRef>;
  /** What it runs, as far as we know; undefined and '' before the first. */
  version: Version | undefined;
  digest: string;
  inFlight: Push | undefined;
  /** Something changed while a push was under way. */
  isStale = false;
  /** Why the present configuration is not sent. */
  withheld: string | undefined;
  refused: (NackStatus & { readonly digest: string }) | undefined;
  #config: PlannedConfig | undefined;
  #answers: ConfigResponse[] = [];

  constructor(init: SubscriptionInit) {
    this.id = init.id;
    this.name = init.name;
    this.features = init.features;
    this.version = init.version;
    this.digest = init.digest;
    this.resolved = init.resolved;
  }

  get subscriber(): Subscriber {
    const { namespace, workload, node } = this.name;
    return { namespace, workload, node, resolved: this.resolved };
  }

  /** Whether it runs something that this stream has not seen: of an earlier stream, and not as it would be now. */
  get runsUnseen(): boolean {
    return this.digest !== '' && this.#config === undefined;
  }

  /** The configurations that it runs and is being sent. */
  configs(): PlannedConfig[] {
    return [this.#config, this.inFlight?.config].filter((config) => config !== undefined);
  }

  settled({ version, config }: Pick<Push, 'version' | 'config'>): void {
    this.version = version;
    this.digest = config.digest;
    this.#config = config;
    this.refused = undefined;
    this.withheld = undefined;
  }

  nacked({ version, config }: Push, problems: readonly Problem[], atMs: number): void {
    this.refused = { version, problems, atMs, digest: config.digest };
  }

  learn(service: ServiceRef): void {
    this.resolved.set(serviceKey(service), service);
  }

  /** Keeps an answer until the manifest that it speaks of is out. */
  answerLater(answer: ConfigResponse): void {
    this.#answers.push(answer);
  }

  takeAnswers(): readonly ConfigResponse[] {
    const answers = this.#answers;
    this.#answers = [];
    return answers;
  }

  status(node: string, plan: Plan): SidecarStatus {
    const { refused, inFlight, withheld } = this;
    return {
      sidecar: this.id,
      node,
      acked: this.digest === '' ? undefined : this.version,
      pending: pendingOf(inFlight, withheld, plan.version),
      nack: refused && { version: refused.version, problems: refused.problems, atMs: refused.atMs },
    };
  }
}

function pendingOf(
  inFlight: Push | undefined,
  withheld: string | undefined,
  version: Version,
): PendingStatus | undefined {
  if (inFlight !== undefined) {
    return { version: inFlight.version, withheld: undefined, sinceMs: inFlight.sinceMs };
  }
  return withheld === undefined ? undefined : { version, withheld, sinceMs: undefined };
}
