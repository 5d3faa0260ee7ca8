/**
 * Instances by workload. From one World to the next only a few instances change, so the index moves along: lists
 * of workloads without a change stay the same objects, by which `endpoints.ts` knows that nothing happened to them.
 */
import type { InstanceRecord, World } from '../world/world.ts';

export interface InstanceIndex {
  /** The instances of one workload (`NAMESPACE/NAME`) in this World. */
  of(world: World, workload: string): readonly InstanceRecord[];
}

const none: readonly InstanceRecord[] = Object.freeze([]);

export function createInstanceIndex(): InstanceIndex {
  let present: World['instances'] = new Map();
  const byWorkload = new Map<string, readonly InstanceRecord[]>();

  const advance = (next: World['instances']): void => {
    const changed = changedWorkloads(present, next);
    const lists = new Map<string, InstanceRecord[]>();
    for (const key of changed) lists.set(key, []);
    if (changed.size > 0) {
      for (const instance of next.values()) lists.get(workloadOf(instance))?.push(instance);
    }
    for (const [key, list] of lists) {
      if (list.length > 0) byWorkload.set(key, list);
      else byWorkload.delete(key);
    }
    present = next;
  };

  return {
    of(world, workload) {
      if (world.instances !== present) advance(world.instances);
      return byWorkload.get(workload) ?? none;
    },
  };
}

/** Whose instances are other records now, more or fewer. */
function changedWorkloads(before: World['instances'], after: World['instances']): ReadonlySet<string> {
  const changed = new Set<string>();
  let added = 0;
  for (const [id, instance] of after) {
    const old = before.get(id);
    if (old === instance) continue;
    changed.add(workloadOf(instance));
    if (old === undefined) added++;
    else changed.add(workloadOf(old));
  }
  if (before.size + added > after.size) {
    for (const [id, instance] of before) if (!after.has(id)) changed.add(workloadOf(instance));
  }
  return changed;
}

function workloadOf(instance: InstanceRecord): string {
  return `${instance.namespace}/${instance.workload}`;
}
