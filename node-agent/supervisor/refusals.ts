/**
 * What is placed here but cannot be started, or changed, as its Workload asks, and why: for a user that the node does
 * not have, say. It is told like any instance and tried again, for a user may be added and a full disk be cleared.
 */
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { InstanceReport, PlacedWorkload, Placement } from '../../mesh/placement.ts';
import { instanceId } from '../plan/instance-plan.ts';

/** One instance of a placement. */
export interface PlacedIndex {
  readonly id: string;
  readonly workload: PlacedWorkload;
  readonly index: number;
}

/** Between tries. */
export const refusedRetryMs = 10_000;

export function instancesOf(placement: Placement, node: string): PlacedIndex[] {
  return placement.workloads.flatMap((workload) =>
    Array.from({ length: workload.replicas }, (_, index) => ({
      id: instanceId(workload, index, node),
      workload,
      index,
    })),
  );
}

export class Refusals {
  readonly #log: Log;
  readonly #reports = new Map<string, InstanceReport>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Remembers it; answers whether that is news. */
  add({ id, workload: { namespace, workload }, index }: PlacedIndex, error: unknown): boolean {
    const reason = messageOf(error);
    if (this.#reports.get(id)?.reason === reason) return false;
    this.#log.error('instance not placed', { instance: id, reason });
    const nothing = { addresses: [], linkPort: 0, ports: [], features: [], restarts: 0 };
    this.#reports.set(id, { id, namespace, workload, index, state: 'unready', reason, ...nothing });
    return true;
  }

  /** Answers whether it was refused until now. */
  remove(id: string): boolean {
    return this.#reports.delete(id);
  }

  ids(): string[] {
    return [...this.#reports.keys()];
  }

  /** Where nothing of it runs. */
  report(id: string): InstanceReport | undefined {
    return this.#reports.get(id);
  }

  /** The report of what runs of it, with why that is not as it was asked. */
  explain(running: InstanceReport): InstanceReport {
    const refused = this.#reports.get(running.id);
    if (refused === undefined) return running;
    const reason = `not changed: ${refused.reason}`;
    return { ...running, reason: running.reason === '' ? reason : `${running.reason}; ${reason}` };
  }
}
