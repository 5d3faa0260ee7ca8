/** Which clusters a change of instances and nodes touches, so that nothing else is looked at. */
import { clusterName } from '../../mesh/model.ts';
import { catalogOf, refOf } from '../build/catalog.ts';
import { hasLabels } from '../build/selection.ts';
import type { World } from '../world/world.ts';

export interface EndpointChange {
  /** Node names. */
  readonly nodes: ReadonlySet<string>;
  /** Instance ids. */
  readonly instances: ReadonlySet<string>;
}

/** Names of the clusters whose endpoint sets may differ between two Worlds of the same resources. */
export function affectedClusters(world: World, previous: World, change: EndpointChange): Set<string> {
  const workloads = new Set([...touchedWorkloads(world, change), ...touchedWorkloads(previous, change)]);
  const byWorkload = clustersByWorkload(world);
  const clusters = new Set<string>();
  for (const workload of workloads) {
    for (const cluster of byWorkload.get(workload) ?? []) clusters.add(cluster);
  }
  return clusters;
}

function* touchedWorkloads({ instances }: World, change: EndpointChange): Generator<string> {
  for (const id of change.instances) {
    const instance = instances.get(id);
    if (instance !== undefined) yield `${instance.namespace}/${instance.workload}`;
  }
  if (change.nodes.size === 0) return;
  for (const { node, namespace, workload } of instances.values()) {
    if (change.nodes.has(node)) yield `${namespace}/${workload}`;
  }
}

type ClusterIndex = ReadonlyMap<string, readonly string[]>;

const indexes = new WeakMap<World['resources'], ClusterIndex>();

/** Workload (`NAMESPACE/NAME`) → clusters of the Services that select it. */
function clustersByWorkload(world: World): ClusterIndex {
  let index = indexes.get(world.resources);
  if (index === undefined) {
    index = indexClusters(world);
    indexes.set(world.resources, index);
  }
  return index;
}

function indexClusters(world: World): ClusterIndex {
  const catalog = catalogOf(world);
  const labelled = new Map<string, { key: string; labels: Readonly<Record<string, string>> }[]>();
  for (const { key, resource } of catalog.all('Workload')) {
    const { labels, namespace } = resource.metadata;
    for (const [name, value] of Object.entries(labels)) {
      append(labelled, `${namespace} ${name}=${value}`, { key, labels });
    }
  }
  const index = new Map<string, string[]>();
  for (const { key, resource } of catalog.all('Service')) {
    const { selector, ports } = resource.spec;
    const [first] = Object.entries(selector);
    if (first === undefined) continue;
    for (const workload of labelled.get(`${resource.metadata.namespace} ${first[0]}=${first[1]}`) ?? []) {
      if (!hasLabels(workload.labels, selector)) continue;
      for (const { port } of ports) append(index, workload.key, clusterName(refOf(key), port));
    }
  }
  return index;
}

function append<T>(map: Map<string, T[]>, key: string, member: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [member]);
  else list.push(member);
}
