/** What the world's keys hold, to and from bytes. Reading throws `invalid`; the key is then left out. */
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { ResourceRef, StoredChange } from './change-set.ts';
import type { InstanceRecord, NodeRecord, StoredResource } from './world.ts';

export interface EpochValue {
  readonly epoch: number;
  /** `Store.identity` when this epoch began. */
  readonly store: string;
}

export interface HeadValue {
  readonly revision: number;
  readonly id: string;
}

/** A change set or a base: how many parts hold it under which id. */
export interface SetValue {
  readonly revision: number;
  readonly id: string;
  readonly parts: number;
  readonly timeMs: number;
}

export interface IntentValue {
  readonly startedMs: number;
}

/** A node's facts and the boots that its reports are fenced by. */
export interface NodeValue extends Omit<NodeRecord, 'alive'> {
  /** Earlier boots, newest last; what comes from them is refused. */
  readonly formerBootIds: readonly string[];
}

export interface InstancesValue {
  readonly bootId: string;
  readonly sequence: number;
  readonly instances: readonly InstanceRecord[];
}

export function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

/** The object that `bytes` holds, with at least the fields of `needed` and their types. */
export function decode<T extends object>(bytes: Uint8Array, needed: FieldTypes): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw invalid(messageOf(cause));
  }
  if (typeof value !== 'object' || value === null) throw invalid('not an object');
  const record = value as Record<string, unknown>;
  for (const [field, type] of Object.entries(needed)) {
    const actual = Array.isArray(record[field]) ? 'array' : typeof record[field];
    if (actual !== type) throw invalid(`field ${field} is ${actual}, not ${type}`);
  }
  return value as T;
}

export type FieldTypes = Readonly<Record<string, 'string' | 'number' | 'object' | 'array'>>;

export const epochFields: FieldTypes = { epoch: 'number', store: 'string' };
export const headFields: FieldTypes = { revision: 'number', id: 'string' };
export const setFields: FieldTypes = { revision: 'number', id: 'string', parts: 'number', timeMs: 'number' };
export const intentFields: FieldTypes = { startedMs: 'number' };
export const nodeFields: FieldTypes = {
  name: 'string',
  labels: 'object',
  addresses: 'array',
  network: 'string',
  locality: 'object',
  bootId: 'string',
  sequence: 'number',
  formerBootIds: 'array',
};
export const instancesFields: FieldTypes = { bootId: 'string', sequence: 'number', instances: 'array' };

export function changeLine(change: StoredChange): string {
  return JSON.stringify(
    change.kind === 'put'
      ? { put: change.resource, createdMs: change.createdMs }
      : { delete: change.ref satisfies ResourceRef },
  );
}

export function parseChangeLine(line: string): StoredChange {
  const value = parseLine(line);
  if ('delete' in value) return { kind: 'delete', ref: refFrom(value['delete']) };
  return { kind: 'put', resource: resourceFrom(value['put']), createdMs: numberFrom(value['createdMs']) };
}

export function baseLine(stored: StoredResource): string {
  return JSON.stringify({ put: stored.resource, createdMs: stored.createdMs, revision: stored.revision });
}

export function parseBaseLine(line: string): StoredResource {
  const value = parseLine(line);
  return {
    resource: resourceFrom(value['put']),
    createdMs: numberFrom(value['createdMs']),
    revision: numberFrom(value['revision']),
  };
}

function parseLine(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (cause) {
    throw invalid(messageOf(cause));
  }
  throw invalid('not an object');
}

function resourceFrom(value: unknown): Resource {
  const resource = value as Partial<Resource> | undefined | null;
  const metadata = resource?.metadata;
  const isWhole =
    typeof resource?.kind === 'string' &&
    typeof resource.apiVersion === 'string' &&
    typeof metadata?.name === 'string' &&
    typeof metadata.namespace === 'string' &&
    resource.spec !== undefined;
  if (!isWhole) throw invalid('not a resource');
  return resource as Resource;
}

function refFrom(value: unknown): ResourceRef {
  const ref = value as Partial<ResourceRef> | undefined | null;
  const isWhole =
    typeof ref?.kind === 'string' && typeof ref.namespace === 'string' && typeof ref.name === 'string';
  if (!isWhole) throw invalid('not a reference');
  return ref as ResourceRef;
}

function numberFrom(value: unknown): number {
  if (typeof value !== 'number') throw invalid('not a number');
  return value;
}

function invalid(message: string): MeshError {
  return new MeshError('invalid', message, { origin: 'local' });
}
