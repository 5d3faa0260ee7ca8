/** What differs between two Worlds that no events connect. */
import type { WorldChange } from './fold.ts';
import type { InstanceRecord, NodeRecord, StoredResource, World } from './world.ts';

/** Within an epoch a resource is told by its revision; across epochs everything counts as changed. */
export function diffWorlds(previous: World, next: World): WorldChange {
  const isSameEpoch = previous.version.epoch === next.version.epoch;
  const resources = new Set<string>();
  for (const kind of new Set([...previous.resources.keys(), ...next.resources.keys()])) {
    const names = changedKeys(
      previous.resources.get(kind) ?? noResources,
      next.resources.get(kind) ?? noResources,
      (a, b) => isSameEpoch && a.revision === b.revision,
    );
    for (const name of names) resources.add(`${kind} ${name}`);
  }
  return {
    resources,
    nodes: changedKeys(previous.nodes, next.nodes, isSameNode),
    instances: changedKeys(previous.instances, next.instances, isSameInstance),
  };
}

export function isEmptyChange(change: WorldChange): boolean {
  return change.resources.size === 0 && change.nodes.size === 0 && change.instances.size === 0;
}

const noResources: ReadonlyMap<string, StoredResource> = new Map();

function changedKeys<T>(
  previous: ReadonlyMap<string, T>,
  next: ReadonlyMap<string, T>,
  isSame: (a: T, b: T) => boolean,
): Set<string> {
  const changed = new Set<string>();
  for (const [key, value] of next) {
    const before = previous.get(key);
    if (before === undefined || !isSame(before, value)) changed.add(key);
  }
  for (const key of previous.keys()) {
    if (!next.has(key)) changed.add(key);
  }
  return changed;
}

function isSameNode(a: NodeRecord, b: NodeRecord): boolean {
  return a.bootId === b.bootId && a.sequence === b.sequence && a.alive === b.alive;
}

function isSameInstance(a: InstanceRecord, b: InstanceRecord): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
