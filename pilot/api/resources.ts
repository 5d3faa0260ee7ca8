/** `/v1/resources` and `/v1/changes`: what operators write, read and change, one by one or all or nothing. */
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import { checkDocuments } from '../../mesh/document/read-documents.ts';
import { resourceKinds } from '../../mesh/resource/index.ts';
import { checkResource, showPath } from '../../mesh/resource/read.ts';
import { findings } from '../build/findings.ts';
import { type ApplyResult, type ChangeApplier, describeConflict } from '../world/apply-changes.ts';
import {
  describeRef,
  findResource,
  planChanges,
  type ResourceChange,
  type ResourceRef,
  refOf,
} from '../world/change-set.ts';
import { withChanges } from '../world/fold.ts';
import type { LiveWorld } from '../world/live-world.ts';
import type { StoredResource, World } from '../world/world.ts';
import { HttpProblem } from './problem.ts';
import { Answer, type ApiRequest, type Route, readJson, readText } from './router.ts';
import type { ChangesBody, FindingBody, ListBody, ResourceBody } from './shapes.ts';

/** Changes in one set. */
const maxChanges = 20_000;

export interface ResourceRoutesOptions {
  readonly live: LiveWorld;
  readonly applier: ChangeApplier;
}

export function resourceRoutes({ live, applier }: ResourceRoutesOptions): Route[] {
  const one = '/v1/resources/:kind/:namespace/:name';
  return [
    { method: 'GET', path: '/v1/resources', handle: ({ query }) => list(live.current, undefined, query) },
    {
      method: 'GET',
      path: '/v1/resources/:kind',
      handle: ({ params, query }) => list(live.current, kindOf(params['kind']), query),
    },
    { method: 'GET', path: one, handle: (request) => get(live.current, refFrom(request)) },
    { method: 'PUT', path: one, handle: (request) => put(live, applier, request) },
    { method: 'DELETE', path: one, handle: (request) => remove(applier, request) },
    { method: 'POST', path: '/v1/changes', handle: (request) => change(live, applier, request) },
    {
      method: 'GET',
      path: '/v1/findings',
      handle: (): ListBody<FindingBody> => ({ version: live.current.version, items: findings(live.current) }),
    },
  ];
}

export function bodyOf({ resource, revision, createdMs }: StoredResource): ResourceBody {
  const creationTimestamp = new Date(createdMs).toISOString();
  const metadata = { ...resource.metadata, resourceVersion: String(revision), creationTimestamp };
  return { ...resource, metadata };
}

function list(world: World, kind: string | undefined, query: URLSearchParams): ListBody<ResourceBody> {
  const namespace = query.get('namespace');
  const kinds = kind === undefined ? [...world.resources.keys()].sort() : [kind];
  const items: ResourceBody[] = [];
  for (const name of kinds) {
    const table = [...(world.resources.get(name) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, stored] of table) {
      if (namespace === null || stored.resource.metadata.namespace === namespace) items.push(bodyOf(stored));
    }
  }
  return { version: world.version, items };
}

function get(world: World, ref: ResourceRef): Answer {
  const stored = findResource(world, ref);
  if (stored === undefined) throw new HttpProblem(404, 'not_found', `there is no ${describeRef(ref)}`);
  const found = findingsOf(world, [ref]);
  return new Answer(
    200,
    { ...bodyOf(stored), status: { findings: found } },
    { etag: `"${stored.revision}"` },
  );
}

async function put(live: LiveWorld, applier: ChangeApplier, request: ApiRequest): Promise<Answer> {
  const ref = refFrom(request);
  const { resources, problems } = checkDocuments(await readText(request.message));
  if (problems.length > 0) throw new ParseFailure(problems);
  const [resource] = resources;
  if (resource === undefined || resources.length > 1) {
    throw new HttpProblem(422, 'invalid', `expected one resource, got ${resources.length}`);
  }
  const named = refOf(resource);
  if (describeRef(named) !== describeRef(ref)) {
    throw new HttpProblem(
      422,
      'invalid',
      `the body is ${describeRef(named)}, the path names ${describeRef(ref)}`,
    );
  }
  const result = await applier.apply([{ kind: 'put', resource, ...precondition(request) }]);
  refuseConflicts(result, 412);
  const stored = findResource(live.current, ref);
  const [outcome] = result.outcomes;
  const body = stored === undefined ? resource : bodyOf(stored);
  return new Answer(outcome?.outcome === 'created' ? 201 : 200, body, {
    etag: `"${outcome?.revision ?? 0}"`,
  });
}

async function remove(applier: ChangeApplier, request: ApiRequest): Promise<Answer> {
  const ref = refFrom(request);
  const result = await applier.apply([{ kind: 'delete', ref, ...precondition(request) }]);
  refuseConflicts(result, 412);
  if (result.outcomes[0]?.outcome === 'absent') {
    throw new HttpProblem(404, 'not_found', `there is no ${describeRef(ref)}`);
  }
  return new Answer(204, undefined);
}

async function change(live: LiveWorld, applier: ChangeApplier, request: ApiRequest): Promise<ChangesBody> {
  const body = await readJson(request.message);
  const changes = readChanges(body);
  const dryRun = body['dryRun'] === true;
  const result = await applier.apply(changes, { dryRun });
  refuseConflicts(result, 409);
  const refs = changes.flatMap((entry) => (entry.kind === 'put' ? [refOf(entry.resource)] : []));
  const world = dryRun
    ? withChanges(live.current, planChanges(live.current, changes, 0).effective)
    : live.current;
  return {
    revision: result.revision,
    dryRun,
    outcomes: result.outcomes.map(({ ref, outcome, revision }) => ({ ...ref, outcome, revision })),
    warnings: findingsOf(world, refs),
  };
}

function refuseConflicts({ conflicts }: ApplyResult, status: 409 | 412): void {
  if (conflicts.length === 0) return;
  throw new HttpProblem(status, 'conflict', conflicts.map(describeConflict).join('; '));
}

function findingsOf(world: World, refs: readonly ResourceRef[]): FindingBody[] {
  const names = new Set(refs.map(describeRef));
  return findings(world).filter(({ kind, resource }) => names.has(`${kind} ${resource}`));
}

/** Every problem of every change, each under the path of its place in the body. */
function readChanges(body: Record<string, unknown>): ResourceChange[] {
  const problems: Problem[] = [];
  const changes: ResourceChange[] = [];
  const raw = body['changes'];
  for (const field of Object.keys(body)) {
    if (field !== 'changes' && field !== 'dryRun') problems.push({ path: field, message: 'unknown field' });
  }
  if (!Array.isArray(raw)) problems.push({ path: 'changes', message: 'expected a list' });
  else if (raw.length > maxChanges)
    problems.push({ path: 'changes', message: `more than ${maxChanges} changes` });
  else {
    raw.forEach((entry: unknown, at) => {
      const change = readChange(entry, `changes[${at}]`, problems);
      if (change !== undefined) changes.push(change);
    });
  }
  if (problems.length > 0) throw new ParseFailure(problems);
  return changes;
}

function readChange(raw: unknown, at: string, problems: Problem[]): ResourceChange | undefined {
  const entry = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>;
  const ifRevision = entry['ifRevision'];
  if (ifRevision !== undefined && !(Number.isSafeInteger(ifRevision) && Number(ifRevision) >= 0)) {
    problems.push({ path: `${at}.ifRevision`, message: 'expected a revision' });
    return undefined;
  }
  const condition = ifRevision === undefined ? {} : { ifRevision: Number(ifRevision) };
  if ('put' in entry && !('delete' in entry)) {
    const { resource, problems: found } = checkResource(entry['put']);
    for (const { path, message } of found)
      problems.push({ path: joinPath(`${at}.put`, showPath(path)), message });
    return resource && { kind: 'put', resource, ...condition };
  }
  const ref = entry['delete'] as Partial<ResourceRef> | undefined | null;
  if (typeof ref?.kind === 'string' && typeof ref.namespace === 'string' && typeof ref.name === 'string') {
    const { kind, namespace, name } = ref as ResourceRef;
    return { kind: 'delete', ref: { kind, namespace, name }, ...condition };
  }
  problems.push({
    path: at,
    message: "expected 'put' with a resource or 'delete' with kind, namespace and name",
  });
  return undefined;
}

function joinPath(base: string, path: string): string {
  return path === '' || path.startsWith('[') ? base + path : `${base}.${path}`;
}

function refFrom({ params }: ApiRequest): ResourceRef {
  return { kind: kindOf(params['kind']), namespace: params['namespace'] ?? '', name: params['name'] ?? '' };
}

function kindOf(kind = ''): string {
  if (resourceKinds.has(kind)) return kind;
  throw new HttpProblem(
    404,
    'not_found',
    `there is no kind ${kind}; kinds are ${[...resourceKinds.keys()].join(', ')}`,
  );
}

/** If-Match with the resource's revision, or If-None-Match: * (RFC 9110 §13.1). */
function precondition({ message }: ApiRequest): { ifRevision?: number } {
  if (message.headers['if-none-match'] === '*') return { ifRevision: 0 };
  const match = message.headers['if-match'];
  if (match === undefined) return {};
  const revision = /^"(\d+)"$/.exec(match)?.[1];
  if (revision === undefined) throw new HttpProblem(400, 'malformed', `If-Match is not "REVISION": ${match}`);
  return { ifRevision: Number(revision) };
}
