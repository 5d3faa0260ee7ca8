/**
 * Changes of resources that take force together: what they are, what they would do to a World, and how they
 * are laid out in the store as parts of JSON lines.
 */
import { MeshError } from '../../kit/errors.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { StoredResource, World } from './world.ts';

/** One part in the store; far below what a store takes, so that a part is quickly read and sent. */
export const maxPartBytes = 512 * 1024;
/** One resource as JSON. */
export const maxResourceBytes = 256 * 1024;
/** One change set as JSON. */
export const maxSetBytes = 64 * 1024 * 1024;

export interface ResourceRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `ifRevision` must be the revision that the resource is at; 0 is "there is none". */
export type ResourceChange =
  | { readonly kind: 'put'; readonly resource: Resource; readonly ifRevision?: number }
  | { readonly kind: 'delete'; readonly ref: ResourceRef; readonly ifRevision?: number };

export type Outcome = 'created' | 'configured' | 'unchanged' | 'deleted' | 'absent';

export interface ChangeOutcome {
  readonly ref: ResourceRef;
  readonly outcome: Outcome;
  /** Of the resource afterwards; 0 where there is none. */
  readonly revision: number;
}

export interface RevisionConflict {
  readonly ref: ResourceRef;
  readonly expected: number;
  /** What the resource is at; 0 is "there is none". */
  readonly actual: number;
}

/** What a set would do to a World; `effective` leaves out what changes nothing. */
export interface ChangePlan {
  readonly outcomes: readonly ChangeOutcome[];
  readonly conflicts: readonly RevisionConflict[];
  readonly effective: readonly StoredChange[];
}

/** A change as the store keeps it. */
export type StoredChange =
  | { readonly kind: 'put'; readonly resource: Resource; readonly createdMs: number }
  | { readonly kind: 'delete'; readonly ref: ResourceRef };

export function refOf(resource: Resource): ResourceRef {
  return { kind: resource.kind, namespace: resource.metadata.namespace, name: resource.metadata.name };
}

export function describeRef(ref: ResourceRef): string {
  return `${ref.kind} ${ref.namespace}/${ref.name}`;
}

export function findResource(world: World, ref: ResourceRef): StoredResource | undefined {
  return world.resources.get(ref.kind)?.get(`${ref.namespace}/${ref.name}`);
}

/** Throws `invalid` where one resource is named twice. */
export function planChanges(world: World, changes: readonly ResourceChange[], wallMs: number): ChangePlan {
  const outcomes: ChangeOutcome[] = [];
  const conflicts: RevisionConflict[] = [];
  const effective: StoredChange[] = [];
  const seen = new Set<string>();
  const plan = { outcomes, conflicts, effective };
  for (const change of changes) {
    const ref = change.kind === 'put' ? refOf(change.resource) : change.ref;
    const name = describeRef(ref);
    if (seen.has(name))
      throw new MeshError('invalid', `${name} twice in one change set`, { origin: 'local' });
    seen.add(name);
    const current = findResource(world, ref);
    const actual = current?.revision ?? 0;
    const expected = change.ifRevision ?? actual;
    if (expected !== actual) conflicts.push({ ref, expected, actual });
    else addOutcome(plan, change, current, { next: world.version.revision + 1, wallMs });
  }
  return plan;
}

function addOutcome(
  plan: { outcomes: ChangeOutcome[]; effective: StoredChange[] },
  change: ResourceChange,
  current: StoredResource | undefined,
  at: { readonly next: number; readonly wallMs: number },
): void {
  const outcome = outcomeOf(change, current);
  if (change.kind === 'delete') {
    plan.outcomes.push({ ref: change.ref, outcome, revision: 0 });
    if (outcome === 'deleted') plan.effective.push({ kind: 'delete', ref: change.ref });
    return;
  }
  const ref = refOf(change.resource);
  if (outcome === 'unchanged') {
    plan.outcomes.push({ ref, outcome, revision: current?.revision ?? 0 });
    return;
  }
  plan.outcomes.push({ ref, outcome, revision: at.next });
  const createdMs = current?.createdMs ?? at.wallMs;
  plan.effective.push({ kind: 'put', resource: change.resource, createdMs });
}

function outcomeOf(change: ResourceChange, current: StoredResource | undefined): Outcome {
  if (change.kind === 'delete') return current === undefined ? 'absent' : 'deleted';
  if (current === undefined) return 'created';
  return isSame(current.resource, change.resource) ? 'unchanged' : 'configured';
}

/** Throws `limit_exceeded` where a line or all of them together are larger than a change set may be. */
export function checkSize(lines: readonly string[]): void {
  let allBytes = 0;
  for (const line of lines) {
    const bytes = Buffer.byteLength(line);
    if (bytes > maxResourceBytes) {
      throw tooLarge(`a resource of ${bytes} bytes, at most ${maxResourceBytes} are taken`);
    }
    allBytes += bytes;
  }
  if (allBytes > maxSetBytes)
    throw tooLarge(`a change set of ${allBytes} bytes, at most ${maxSetBytes} are taken`);
}

/** JSON lines as parts of at most `maxPartBytes` each. */
export function packLines(lines: Iterable<string>): Buffer[] {
  const parts: Buffer[] = [];
  let held: Buffer[] = [];
  let heldBytes = 0;
  for (const line of lines) {
    const bytes = Buffer.from(`${line}\n`, 'utf8');
    if (held.length > 0 && heldBytes + bytes.length > maxPartBytes) {
      parts.push(Buffer.concat(held));
      held = [];
      heldBytes = 0;
    }
    held.push(bytes);
    heldBytes += bytes.length;
  }
  if (held.length > 0) parts.push(Buffer.concat(held));
  return parts;
}

export function unpackLines(part: Uint8Array): string[] {
  return Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('utf8').split('\n').slice(0, -1);
}

/** Whether two resources are the same whatever the order of their fields. */
export function isSame(a: unknown, b: unknown): boolean {
  // -0, which YAML can say, is 0 in JSON.
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = definedEntries(a);
  const right = new Map(definedEntries(b));
  return (
    left.length === right.size &&
    left.every(([key, value]) => right.has(key) && isSame(value, right.get(key)))
  );
}

/** JSON drops what is undefined, so it is no difference. */
function definedEntries(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, entry]) => entry !== undefined);
}

function tooLarge(message: string): MeshError {
  return new MeshError('limit_exceeded', message, { origin: 'downstream' });
}
