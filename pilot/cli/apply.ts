/** `heddle pilot apply` and `delete`: all of it takes force at once, or nothing does. */
import type { Resource } from '../../mesh/resource/resource.ts';
import type { ChangeBody, ChangesBody, ChangesRequest, ListBody, ResourceBody } from '../api/shapes.ts';
import { tellFindings } from '../build/tell-findings.ts';
import { describeRef, type ResourceRef, refOf } from '../world/change-set.ts';
import type { CommandContext } from './context.ts';
import { refused, wrongUse } from './failure.ts';
import { findResourceKind } from './kinds.ts';
import { readFiles } from './read-files.ts';

export interface ApplyFlags {
  readonly filename: readonly string[];
  readonly dryRun?: boolean;
  readonly prune?: boolean;
}

export async function apply({ io, client }: CommandContext, flags: ApplyFlags): Promise<void> {
  const resources = readFiles(flags.filename, io.readInput);
  const changes: ChangeBody[] = resources.map((put) => ({ put }));
  if (flags.prune === true) {
    const there = await client.get<ListBody<ResourceBody>>('/v1/resources');
    changes.push(...removals(resources, there.items));
  }
  await send({ io, client }, { changes, dryRun: flags.dryRun === true });
}

/** What stands in the namespaces of the files and is not in them, each at the revision that was looked at. */
function removals(resources: readonly Resource[], there: readonly ResourceBody[]): ChangeBody[] {
  const namespaces = new Set(resources.map((resource) => resource.metadata.namespace));
  const kept = new Set(resources.map((resource) => describeRef(refOf(resource))));
  return there
    .filter((body) => namespaces.has(body.metadata.namespace) && !kept.has(describeRef(refOf(body))))
    .map((body) => ({ delete: refOf(body), ifRevision: Number(body.metadata.resourceVersion) }));
}

export interface DeleteFlags {
  readonly filename?: readonly string[];
  readonly namespace: string;
  readonly dryRun?: boolean;
}

export async function remove(
  context: CommandContext,
  kind: string | undefined,
  names: readonly string[],
  flags: DeleteFlags,
): Promise<void> {
  const refs = refsToDelete(context, kind, names, flags);
  const changes = refs.map((ref): ChangeBody => ({ delete: ref }));
  const { outcomes } = await send(context, { changes, dryRun: flags.dryRun === true });
  const absent = outcomes.filter(({ outcome }) => outcome === 'absent');
  if (absent.length > 0 && flags.filename === undefined) {
    throw refused(...absent.map((ref) => `there is no ${describeRef(ref)}`));
  }
}

function refsToDelete(
  { io }: CommandContext,
  kind: string | undefined,
  names: readonly string[],
  flags: DeleteFlags,
): ResourceRef[] {
  if (flags.filename !== undefined) {
    if (kind !== undefined) throw wrongUse('either -f FILE or KIND NAME, not both');
    return readFiles(flags.filename, io.readInput).map(refOf);
  }
  if (kind === undefined || names.length === 0) throw wrongUse('expected KIND NAME or -f FILE');
  const own = findResourceKind(kind);
  return names.map((name) => ({ kind: own, namespace: flags.namespace, name }));
}

async function send({ io, client }: CommandContext, request: ChangesRequest): Promise<ChangesBody> {
  const answer = await client.post<ChangesBody>('/v1/changes', request);
  const suffix = answer.dryRun ? ' (dry run)' : '';
  for (const entry of answer.outcomes) {
    if (entry.outcome !== 'absent') io.out(`${describeRef(entry)} ${entry.outcome}${suffix}\n`);
  }
  tellFindings(answer.warnings, io.err);
  return answer;
}
