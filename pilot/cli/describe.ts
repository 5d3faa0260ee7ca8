/** `heddle pilot describe KIND NAME`: one thing with everything that is tied to it. */
import { stringify } from 'yaml';
import type { InstanceBody, ListBody, NodeBody, ResourceBody } from '../api/shapes.ts';
import { labelsText } from './columns.ts';
import type { CommandContext } from './context.ts';
import { refused } from './failure.ts';
import { instanceTable } from './get.ts';
import { findKind } from './kinds.ts';
import { relationsOf } from './relations.ts';
import { ageOf } from './table.ts';

export interface DescribeFlags {
  readonly namespace: string;
}

export async function describe(
  context: CommandContext,
  kind: string,
  name: string,
  flags: DescribeFlags,
): Promise<void> {
  const found = findKind(kind);
  if ('kind' in found) await describeResource(context, found.kind, name, flags.namespace);
  else await describeRecord(context, found.records, name);
}

async function describeResource(
  { io, client }: CommandContext,
  kind: string,
  name: string,
  namespace: string,
): Promise<void> {
  const path = ['/v1/resources', kind, namespace, name].map((part, at) =>
    at === 0 ? part : encodeURIComponent(part),
  );
  const resource = await client.get<ResourceBody>(path.join('/'));
  const all = await client.get<ListBody<ResourceBody>>('/v1/resources');
  const running = await client.get<ListBody<InstanceBody>>('/v1/instances');
  const { metadata } = resource;
  const lines = [
    ['Name', metadata.name],
    ['Namespace', metadata.namespace],
    ['Kind', `${kind} (${resource.apiVersion})`],
    ['Labels', labelsText(metadata.labels) || '-'],
    ['Annotations', labelsText(metadata.annotations) || '-'],
    ['Revision', metadata.resourceVersion],
    ['Age', ageOf(Date.parse(metadata.creationTimestamp), io.clock.wallMs())],
  ].map(([label, value]) => `${`${label}:`.padEnd(14)}${value}\n`);
  io.out(lines.join(''));
  io.out(`Spec:\n${indent(stringify(resource.spec, { aliasDuplicateObjects: false }))}`);
  const findings = resource.status?.findings ?? [];
  io.out(findings.length === 0 ? 'Conditions:   all references lead somewhere\n' : 'Conditions:\n');
  for (const finding of findings) {
    io.out(
      `  ${finding.code} ${finding.name}: ${[finding.path, finding.message].filter(Boolean).join(': ')}\n`,
    );
  }
  const { groups, instances } = relationsOf(resource, all.items, running.items);
  for (const { label, members } of groups) {
    io.out(members.length === 0 ? `${`${label}:`.padEnd(14)}-\n` : `${label}:\n`);
    for (const member of members) io.out(`  ${member}\n`);
  }
  if (instances === undefined) return;
  io.out(`Endpoints:${instances.length === 0 ? '    -' : ''}\n`);
  if (instances.length > 0) io.out(indent(instanceTable(instances)));
}

async function describeRecord(
  { io, client }: CommandContext,
  records: 'nodes' | 'instances',
  name: string,
): Promise<void> {
  const { items } = await client.get<ListBody<NodeBody | InstanceBody>>(`/v1/${records}`);
  const item = items.find((each) => ('id' in each ? each.id : each.name) === name);
  if (item === undefined) throw refused(`there is no ${records.slice(0, -1)} ${name}`);
  io.out(stringify(item, { aliasDuplicateObjects: false }));
  if (records === 'instances') return;
  const running = await client.get<ListBody<InstanceBody>>(`/v1/instances?node=${encodeURIComponent(name)}`);
  if (running.items.length > 0) io.out(`\n${instanceTable(running.items)}`);
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
