/**
 * Store events fold into the next immutable World, and a listing into a first one. No I/O here: what cannot
 * be read is left out and named in `problems`; what does not continue the World is a gap, and whoever holds
 * the store lists again.
 */
import { messageOf } from '../../kit/errors.ts';
import type { Listing, StoreEvent } from '../store/store.ts';
import { describeRef, refOf, type StoredChange, unpackLines } from './change-set.ts';
import {
  alivePrefix,
  baseKey,
  basePartPrefix,
  epochKey,
  instancesPrefix,
  nodePrefix,
  partKey,
  partPrefix,
  setPrefix,
} from './keys.ts';
import {
  decode,
  type EpochValue,
  epochFields,
  type InstancesValue,
  instancesFields,
  type NodeValue,
  nodeFields,
  parseBaseLine,
  parseChangeLine,
  type SetValue,
  setFields,
} from './records.ts';
import type { InstanceRecord, NodeRecord, StoredResource, World } from './world.ts';

/** A World and what is known beside it. */
export interface FoldState {
  readonly world: World;
  /** Parts of sets that are not yet in force, by key. */
  readonly parts: ReadonlyMap<string, Uint8Array>;
  /** Nodes whose lease lives. */
  readonly heard: ReadonlySet<string>;
  /** What each node runs; `world.instances` is all of them. */
  readonly instances: ReadonlyMap<string, readonly InstanceRecord[]>;
}

/** What differs between two Worlds. */
export interface WorldChange {
  /** `KIND NAMESPACE/NAME`. */
  readonly resources: ReadonlySet<string>;
  readonly nodes: ReadonlySet<string>;
  /** Instance ids. */
  readonly instances: ReadonlySet<string>;
}

export interface FoldResult {
  readonly state: FoldState;
  readonly change: WorldChange;
  /** Stored values that cannot be read, for the log. */
  readonly problems: readonly string[];
  /** Why the events do not continue this World. */
  readonly gap: string | undefined;
}

type Resources = Map<string, Map<string, StoredResource>>;

export function emptyWorld(trustDomain: string): World {
  return {
    version: { epoch: 0, revision: 0 },
    trustDomain,
    resources: new Map(),
    nodes: new Map(),
    instances: new Map(),
  };
}

/** The World that everything under `world/` amounts to; `gap` where parts are missing. */
export function foldListing(listing: Listing, trustDomain: string): FoldResult {
  const builder = new Builder({
    world: emptyWorld(trustDomain),
    parts: new Map(),
    heard: new Set(),
    instances: new Map(),
  });
  const values = new Map(listing.entries.map((entry) => [entry.key, entry.value]));
  const base = values.get(baseKey);
  if (base !== undefined) builder.readBase(base, values);
  // Parts sort before the sets that they belong to, and sets by number.
  for (const { key, value } of listing.entries) {
    if (key !== baseKey) builder.onPut(key, value);
  }
  return builder.result();
}

/** The state after `events`, all of whole revisions. */
export function fold(state: FoldState, events: readonly StoreEvent[]): FoldResult {
  const builder = new Builder(state);
  for (const event of events) {
    if (event.kind === 'put') builder.onPut(event.key, event.value);
    else builder.onDelete(event.key);
  }
  return builder.result();
}

/** The same World with exactly the nodes of `dead` not alive; the same object where nothing changes. */
export function withDead(world: World, dead: ReadonlySet<string>): { world: World; changed: Set<string> } {
  const changed = new Set<string>();
  for (const node of world.nodes.values()) {
    if (node.alive === dead.has(node.name)) changed.add(node.name);
  }
  if (changed.size === 0) return { world, changed };
  const nodes = new Map(world.nodes);
  for (const name of changed) {
    const node = nodes.get(name);
    if (node !== undefined) nodes.set(name, { ...node, alive: !node.alive });
  }
  return { world: { ...world, nodes }, changed };
}

/** The World as it would be after `changes`, at the next revision. */
export function withChanges(world: World, changes: readonly StoredChange[]): World {
  const builder = new Builder({ world, parts: new Map(), heard: new Set(), instances: new Map() });
  builder.applyNext(changes);
  return builder.result().state.world;
}

/** Copies each table at its first change, so that a batch costs one copy of what it touches. */
class Builder {
  readonly #from: FoldState;
  #epoch: number;
  #revision: number;
  #resources: Resources | undefined;
  readonly #copiedKinds = new Set<string>();
  #nodes: Map<string, NodeRecord> | undefined;
  #instances: Map<string, InstanceRecord> | undefined;
  #byNode: Map<string, readonly InstanceRecord[]> | undefined;
  #parts: Map<string, Uint8Array> | undefined;
  #heard: Set<string> | undefined;
  readonly #changedResources = new Set<string>();
  readonly #changedNodes = new Set<string>();
  readonly #changedInstances = new Set<string>();
  readonly #problems: string[] = [];
  #gap: string | undefined;

  constructor(from: FoldState) {
    this.#from = from;
    this.#epoch = from.world.version.epoch;
    this.#revision = from.world.version.revision;
  }

  onPut(key: string, value: Uint8Array): void {
    try {
      this.#put(key, value);
    } catch (thrown) {
      this.#problems.push(`${key}: ${messageOf(thrown)}`);
    }
  }

  onDelete(key: string): void {
    if (key.startsWith(nodePrefix)) this.#dropNode(key.slice(nodePrefix.length));
    else if (key.startsWith(instancesPrefix)) this.#setInstances(key.slice(instancesPrefix.length), []);
    else if (key.startsWith(alivePrefix)) this.#heardNow().delete(key.slice(alivePrefix.length));
    else if (key.startsWith(partPrefix) && this.#partsKnown().has(key)) this.#partsNow().delete(key);
  }

  readBase(value: Uint8Array, values: ReadonlyMap<string, Uint8Array>): void {
    const base = decode<SetValue>(value, setFields);
    for (let index = 0; index < base.parts; index++) {
      const key = partKey(basePartPrefix, base.id, index);
      const part = values.get(key);
      if (part === undefined) {
        this.#gap = `${key} is missing`;
        return;
      }
      this.#lines(key, part, (line) => {
        const stored = parseBaseLine(line);
        const { kind, metadata } = stored.resource;
        this.#table(kind).set(`${metadata.namespace}/${metadata.name}`, stored);
        this.#changedResources.add(describeRef(refOf(stored.resource)));
      });
    }
    this.#revision = base.revision;
  }

  applyNext(changes: readonly StoredChange[]): void {
    this.#revision++;
    for (const change of changes) this.#applyChange(change, this.#revision);
  }

  result(): FoldResult {
    const { world } = this.#from;
    const isNewVersion = this.#epoch !== world.version.epoch || this.#revision !== world.version.revision;
    const isNew = isNewVersion || this.#nodes !== undefined || this.#instances !== undefined;
    const next: World = {
      ...world,
      version: isNewVersion ? { epoch: this.#epoch, revision: this.#revision } : world.version,
      resources: this.#resources ?? world.resources,
      nodes: this.#nodes ?? world.nodes,
      instances: this.#instances ?? world.instances,
    };
    return {
      state: {
        world: isNew ? next : world,
        parts: this.#partsKnown(),
        heard: this.#heard ?? this.#from.heard,
        instances: this.#byNode ?? this.#from.instances,
      },
      change: {
        resources: this.#changedResources,
        nodes: this.#changedNodes,
        instances: this.#changedInstances,
      },
      problems: this.#problems,
      gap: this.#gap,
    };
  }

  #put(key: string, value: Uint8Array): void {
    if (key.startsWith(partPrefix)) this.#partsNow().set(key, value);
    else if (key.startsWith(setPrefix)) this.#applySet(decode<SetValue>(value, setFields));
    else if (key.startsWith(nodePrefix)) this.#setNode(key.slice(nodePrefix.length), value);
    else if (key.startsWith(instancesPrefix)) {
      const { instances } = decode<InstancesValue>(value, instancesFields);
      this.#setInstances(key.slice(instancesPrefix.length), instances);
    } else if (key.startsWith(alivePrefix)) this.#heardNow().add(key.slice(alivePrefix.length));
    else if (key === epochKey) this.#epoch = decode<EpochValue>(value, epochFields).epoch;
  }

  #applySet(set: SetValue): void {
    // Sets that the base holds already are on their way out.
    if (set.revision <= this.#revision || this.#gap !== undefined) return;
    if (set.revision !== this.#revision + 1) {
      this.#gap = `change set ${set.revision} follows ${this.#revision}`;
      return;
    }
    const parts: [string, Uint8Array][] = [];
    for (let index = 0; index < set.parts; index++) {
      const key = partKey(partPrefix, set.id, index);
      const part = this.#partsKnown().get(key);
      if (part === undefined) {
        this.#gap = `${key} is missing`;
        return;
      }
      parts.push([key, part]);
    }
    for (const [key, part] of parts) {
      this.#lines(key, part, (line) => this.#applyChange(parseChangeLine(line), set.revision));
      this.#partsNow().delete(key);
    }
    this.#revision = set.revision;
  }

  #lines(key: string, part: Uint8Array, onLine: (line: string) => void): void {
    for (const [at, line] of unpackLines(part).entries()) {
      try {
        onLine(line);
      } catch (thrown) {
        this.#problems.push(`${key} line ${at + 1}: ${messageOf(thrown)}`);
      }
    }
  }

  #applyChange(change: StoredChange, revision: number): void {
    const ref = change.kind === 'put' ? refOf(change.resource) : change.ref;
    const table = this.#table(ref.kind);
    const name = `${ref.namespace}/${ref.name}`;
    if (change.kind === 'put') {
      table.set(name, { resource: change.resource, revision, createdMs: change.createdMs });
    } else {
      table.delete(name);
    }
    this.#changedResources.add(describeRef(ref));
  }

  #table(kind: string): Map<string, StoredResource> {
    this.#resources ??= new Map(this.#from.world.resources) as Resources;
    let table = this.#resources.get(kind);
    if (table === undefined || !this.#copiedKinds.has(kind)) {
      table = new Map(table);
      this.#resources.set(kind, table);
      this.#copiedKinds.add(kind);
    }
    return table;
  }

  #setNode(name: string, value: Uint8Array): void {
    const { formerBootIds: _, ...facts } = decode<NodeValue>(value, nodeFields);
    if (facts.name !== name) throw new Error(`holds node ${facts.name}`);
    const known = (this.#nodes ?? this.#from.world.nodes).get(name);
    this.#nodesNow().set(name, { ...facts, alive: known?.alive ?? true });
    this.#changedNodes.add(name);
  }

  #dropNode(name: string): void {
    if (!(this.#nodes ?? this.#from.world.nodes).has(name)) return;
    this.#nodesNow().delete(name);
    this.#changedNodes.add(name);
  }

  #setInstances(node: string, instances: readonly InstanceRecord[]): void {
    this.#byNode ??= new Map(this.#from.instances);
    this.#instances ??= new Map(this.#from.world.instances);
    for (const { id } of this.#byNode.get(node) ?? []) {
      this.#instances.delete(id);
      this.#changedInstances.add(id);
    }
    for (const instance of instances) {
      this.#instances.set(instance.id, instance);
      this.#changedInstances.add(instance.id);
    }
    if (instances.length === 0) this.#byNode.delete(node);
    else this.#byNode.set(node, instances);
  }

  #nodesNow(): Map<string, NodeRecord> {
    this.#nodes ??= new Map(this.#from.world.nodes);
    return this.#nodes;
  }

  #heardNow(): Set<string> {
    this.#heard ??= new Set(this.#from.heard);
    return this.#heard;
  }

  #partsKnown(): ReadonlyMap<string, Uint8Array> {
    return this.#parts ?? this.#from.parts;
  }

  #partsNow(): Map<string, Uint8Array> {
    this.#parts ??= new Map(this.#from.parts);
    return this.#parts;
  }
}
