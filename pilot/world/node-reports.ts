/**
 * What node agents say of themselves, written durably and fenced: a report from an earlier boot, or with a
 * sequence that is not higher than what stands, is refused with `conflict`. A node's liveness is a lease that
 * each heartbeat extends; nothing else of a node depends on it.
 */
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { InstanceReport, NodeFacts } from '../../mesh/placement.ts';
import {
  type CallOptions,
  type Compare,
  type Entry,
  type Lease,
  maxValueBytes,
  type Store,
} from '../store/store.ts';
import { alivePrefix, instancesPrefix, nodePrefix } from './keys.ts';
import {
  decode,
  encode,
  type InstancesValue,
  instancesFields,
  type NodeValue,
  nodeFields,
} from './records.ts';
import type { InstanceRecord } from './world.ts';

/** A node is missed when it has not been heard of for this long. */
export const nodeLeaseMs = 15_000;
/** How often an agent shall be heard of; one lost heartbeat is none too few. */
export const heartbeatMs = 5_000;
/** Boots that are remembered as over. */
const maxFormerBoots = 8;
/** Reports of one node that meet on two pilots. */
const maxTries = 5;

export interface InstancesReport {
  readonly node: string;
  readonly bootId: string;
  readonly sequence: number;
  /** `all`: what is not named is gone. `some`: only what is named changes. */
  readonly scope: 'all' | 'some';
  readonly instances: readonly InstanceReport[];
  /** Ids of instances that are no more; for `some`. */
  readonly gone: readonly string[];
}

export interface NodeReports {
  /** Writes the node's facts. `conflict` where an earlier boot or an old sequence speaks. */
  reportNode(facts: NodeFacts, sequence: number, options?: CallOptions): Promise<void>;
  /** Writes what runs on a node that reported its facts in this boot; otherwise `conflict`. */
  reportInstances(report: InstancesReport, options?: CallOptions): Promise<void>;
  /** The node lives; at most one store call in a third of the lease's time. */
  heartbeat(node: string, options?: CallOptions): Promise<void>;
  /** Forgets a node and everything on it, as an operator wishes. False where there was none. */
  removeNode(node: string, options?: CallOptions): Promise<boolean>;
}

interface Beat {
  readonly lease: Lease;
  extendedMs: number;
}

export function createNodeReports(store: Store, clock: Clock): NodeReports {
  const beats = new Map<string, Promise<Beat>>();

  const grant = async (node: string, options?: CallOptions): Promise<Beat> => {
    const lease = await store.grantLease(nodeLeaseMs, options);
    const value = encode({ lease: lease.id });
    await store.transact(
      { operations: [{ kind: 'put', key: alivePrefix + node, value, lease: lease.id }] },
      options,
    );
    return { lease, extendedMs: clock.nowMs() };
  };

  /** Heartbeats of one node queue behind each other; a failed one leaves nothing behind. */
  const beat = async (node: string, options?: CallOptions): Promise<Beat> => {
    const known = await beats.get(node)?.catch(() => undefined);
    if (known === undefined) return await grant(node, options);
    if (clock.nowMs() - known.extendedMs < nodeLeaseMs / 3 - 1) return known;
    try {
      await known.lease.keepAlive(options);
      known.extendedMs = clock.nowMs();
      return known;
    } catch (thrown) {
      if (thrown instanceof MeshError && thrown.code === 'not_found') return await grant(node, options);
      throw thrown;
    }
  };

  return {
    reportNode: (facts, sequence, options) =>
      retried(async () => {
        const key = nodePrefix + facts.node;
        const entry = await store.get(key, options);
        const value = nextNode(readValue<NodeValue>(entry, nodeFields), facts, sequence);
        const compares = [{ key, revision: entry?.revision ?? 0 }];
        const operations = [{ kind: 'put', key, value: encode(value) } as const];
        return (await store.transact({ compares, operations }, options)).succeeded;
      }),

    reportInstances: (report, options) =>
      retried(async () => {
        const nodeKey = nodePrefix + report.node;
        const key = instancesPrefix + report.node;
        const [node, entry] = await Promise.all([store.get(nodeKey, options), store.get(key, options)]);
        const boot = readValue<NodeValue>(node, nodeFields)?.bootId;
        if (boot !== report.bootId) {
          throw stale(`node ${report.node} ${boot === undefined ? 'is unknown' : `is in boot ${boot}`}`);
        }
        const value = encode(nextInstances(readValue<InstancesValue>(entry, instancesFields), report));
        if (value.length > maxValueBytes) {
          throw new MeshError('limit_exceeded', `instances of ${report.node} fill ${value.length} bytes`, {
            origin: 'downstream',
          });
        }
        const compares: Compare[] = [
          { key: nodeKey, revision: node?.revision ?? 0 },
          { key, revision: entry?.revision ?? 0 },
        ];
        return (await store.transact({ compares, operations: [{ kind: 'put', key, value }] }, options))
          .succeeded;
      }),

    async heartbeat(node, options) {
      const next = beat(node, options);
      beats.set(node, next);
      try {
        await next;
      } catch (thrown) {
        if (beats.get(node) === next) beats.delete(node);
        throw thrown;
      }
    },

    async removeNode(node, options) {
      const entry = await store.get(nodePrefix + node, options);
      if (entry === undefined) return false;
      beats.delete(node);
      const keys = [nodePrefix, instancesPrefix, alivePrefix].map((prefix) => prefix + node);
      await store.transact({ operations: keys.map((key) => ({ kind: 'delete', key })) }, options);
      return true;
    },
  };
}

function nextNode(known: NodeValue | undefined, facts: NodeFacts, sequence: number): NodeValue {
  const { node: name, labels, addresses, network, locality, bootId } = facts;
  const former = known?.formerBootIds ?? [];
  if (former.includes(bootId)) throw stale(`boot ${bootId} of node ${name} is over`);
  const isSameBoot = known?.bootId === bootId;
  if (known !== undefined && isSameBoot && sequence <= known.sequence) {
    throw stale(`node ${name} reported ${known.sequence} already, this is ${sequence}`);
  }
  const formerBootIds =
    known === undefined || isSameBoot ? former : [...former, known.bootId].slice(-maxFormerBoots);
  return { name, labels, addresses, network, locality, bootId, sequence, formerBootIds };
}

function nextInstances(known: InstancesValue | undefined, report: InstancesReport): InstancesValue {
  if (known?.bootId === report.bootId && report.sequence <= known.sequence) {
    throw stale(`node ${report.node} reported ${known.sequence} already, this is ${report.sequence}`);
  }
  const byId = new Map<string, InstanceRecord>();
  if (report.scope === 'some') {
    for (const instance of known?.instances ?? []) byId.set(instance.id, instance);
    for (const id of report.gone) byId.delete(id);
  }
  for (const instance of report.instances) byId.set(instance.id, { ...instance, node: report.node });
  return { bootId: report.bootId, sequence: report.sequence, instances: [...byId.values()] };
}

/** What cannot be read is written over. */
function readValue<T extends object>(
  entry: Entry | undefined,
  fields: Parameters<typeof decode>[1],
): T | undefined {
  if (entry === undefined) return undefined;
  try {
    return decode<T>(entry.value, fields);
  } catch {
    return undefined;
  }
}

async function retried(attempt: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < maxTries; tries++) {
    if (await attempt()) return;
  }
  throw new MeshError('conflict', `other reports came first ${maxTries} times`, { origin: 'local' });
}

function stale(message: string): MeshError {
  return new MeshError('conflict', message, { origin: 'downstream' });
}
