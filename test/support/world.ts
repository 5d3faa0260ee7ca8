/** Worlds for tests, written as operators would write their resources. */
import { readDocuments } from '../../mesh/document/read-documents.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { InstanceRecord, NodeRecord, StoredResource, World } from '../../pilot/world/world.ts';

/** A World of these YAML documents; each later document counts as younger. */
export function worldOf(yaml: string, change: Partial<World> = {}): World {
  const base: World = {
    version: { epoch: 1, revision: 1 },
    trustDomain: 'mesh.local',
    resources: new Map(),
    nodes: new Map(),
    instances: new Map(),
  };
  return { ...withResources(base, yaml), ...change };
}

/** The same World with these resources added or replaced; everything else is shared. */
export function withResources(world: World, yaml: string): World {
  const resources = new Map(world.resources);
  const revision = world.version.revision + 1;
  readDocuments(yaml).forEach((resource, index) => {
    const { kind } = resource;
    const old = resources.get(kind);
    const key = keyOf(resource);
    const createdMs = old?.get(key)?.createdMs ?? revision * 1000 + index;
    resources.set(kind, new Map(old).set(key, { resource, revision, createdMs } satisfies StoredResource));
  });
  return { ...world, version: { ...world.version, revision }, resources };
}

/** The same World without one resource. */
export function withoutResource(world: World, kind: string, key: string): World {
  const left = new Map(world.resources.get(kind));
  left.delete(key);
  const version = { ...world.version, revision: world.version.revision + 1 };
  return { ...world, version, resources: new Map(world.resources).set(kind, left) };
}

/** The same World with these instances, each on a living node of the name after its `@`. */
export function withInstances(
  world: World,
  ids: readonly string[],
  change: Partial<InstanceRecord> = {},
): World {
  const nodes = new Map(world.nodes);
  const instances = new Map(world.instances);
  for (const id of ids) {
    const [, namespace = '', workload = '', index = '', node = ''] =
      /^(.+)\/(.+)\.(\d+)@(.+)$/.exec(id) ?? [];
    if (!nodes.has(node)) nodes.set(node, nodeOf(node));
    instances.set(id, {
      id,
      node,
      namespace,
      workload,
      index: Number(index),
      state: 'ready',
      addresses: ['10.0.0.1'],
      linkPort: 15_000 + Number(index),
      ports: [],
      features: [],
      ...change,
    });
  }
  return { ...world, nodes, instances };
}

export function nodeOf(name: string, change: Partial<NodeRecord> = {}): NodeRecord {
  return {
    name,
    labels: {},
    addresses: ['10.0.0.1'],
    network: 'lan',
    locality: { region: 'eu', zone: 'eu-1' },
    bootId: 'boot',
    sequence: 1,
    alive: true,
    ...change,
  };
}

function keyOf(resource: Resource): string {
  return `${resource.metadata.namespace}/${resource.metadata.name}`;
}
