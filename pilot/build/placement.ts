/** Which workloads a node runs, and so which identities the CA may sign for it. */
import { workloadName } from '../../mesh/identity.ts';
import type { WorkloadSpec } from '../../mesh/resource/workload.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { catalogOf, type Stored } from './catalog.ts';
import { hasLabels } from './selection.ts';
import { accountOf } from './self.ts';

export interface PlacedWorkload {
  readonly namespace: string;
  readonly workload: string;
  readonly account: string;
  readonly identity: string;
  readonly spec: WorkloadSpec;
}

/** The workloads placed on `node`, in the order of their names; none where the node is not known. */
export function placed(world: World, node: string): PlacedWorkload[] {
  const record = world.nodes.get(node);
  if (record === undefined) return [];
  return catalogOf(world)
    .all('Workload')
    .filter((workload) => isPlaced(workload, record))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map((workload) => placedWorkload(world, workload));
}

/** Whether one workload is placed on a node: what a subscription or a signing request is checked against. */
export function isPlacedOn(world: World, namespace: string, workload: string, node: string): boolean {
  const record = world.nodes.get(node);
  const stored = catalogOf(world).get('Workload', `${namespace}/${workload}`);
  return record !== undefined && stored !== undefined && isPlaced(stored, record);
}

/** The SPIFFE names that the CA may sign for `node`. */
export function identitiesOf(world: World, node: string): ReadonlySet<string> {
  return new Set(placed(world, node).map((workload) => workload.identity));
}

/** `replicas: 0` keeps the place: the instances end, the identity stays theirs until then. */
function isPlaced(workload: Stored<'Workload'>, node: NodeRecord): boolean {
  const { node: name, nodeSelector } = workload.resource.spec;
  if (name !== undefined) return name === node.name;
  return nodeSelector !== undefined && hasLabels(node.labels, nodeSelector);
}

function placedWorkload(world: World, workload: Stored<'Workload'>): PlacedWorkload {
  const { namespace, name } = workload.resource.metadata;
  const account = accountOf(workload);
  return {
    namespace,
    workload: name,
    account,
    identity: workloadName(world.trustDomain, namespace, account),
    spec: workload.resource.spec,
  };
}
