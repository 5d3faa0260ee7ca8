/** `heddle pilot get KIND [NAME]`: a table, JSON, or YAML that `apply` takes back. */
import { stringify } from 'yaml';
import { writeDocuments } from '../../mesh/document/write-document.ts';
import type { InstanceBody, ListBody, NodeBody, ResourceBody } from '../api/shapes.ts';
import { columnsOf, labelsText } from './columns.ts';
import type { CommandContext } from './context.ts';
import { refused } from './failure.ts';
import { findKind, type Records } from './kinds.ts';
import { ageOf, table } from './table.ts';

export type OutputForm = 'table' | 'wide' | 'yaml' | 'json';

export interface GetFlags {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
  readonly output: OutputForm;
}

export async function get(
  context: CommandContext,
  kind: string,
  name: string | undefined,
  flags: GetFlags,
): Promise<void> {
  const found = findKind(kind);
  if ('records' in found) await getRecords(context, found.records, name, flags);
  else await getResources(context, found.kind, name, flags);
}

async function getResources(
  { io, client }: CommandContext,
  kind: string,
  name: string | undefined,
  flags: GetFlags,
): Promise<void> {
  const isAll = flags.allNamespaces === true && name === undefined;
  const query = isAll ? '' : `?namespace=${encodeURIComponent(flags.namespace)}`;
  const { items } = await client.get<ListBody<ResourceBody>>(`/v1/resources/${kind}${query}`);
  const chosen = name === undefined ? items : items.filter((item) => item.metadata.name === name);
  if (name !== undefined && chosen.length === 0) {
    throw refused(`there is no ${kind} ${flags.namespace}/${name}`);
  }
  if (flags.output === 'yaml') io.out(writeDocuments(chosen));
  else if (flags.output === 'json') io.out(json(name === undefined ? listOf(chosen) : chosen[0]));
  else if (chosen.length === 0) {
    io.err(isAll ? `there is no ${kind}\n` : `there is no ${kind} in namespace ${flags.namespace}\n`);
  } else io.out(resourceTable(kind, chosen, flags, io.clock.wallMs()));
}

function resourceTable(kind: string, items: readonly ResourceBody[], flags: GetFlags, nowMs: number): string {
  const columns = columnsOf(kind);
  const isWide = flags.output === 'wide';
  const withNamespace = <T>(cell: T): T[] => (flags.allNamespaces === true ? [cell] : []);
  const head = [
    ...withNamespace('NAMESPACE'),
    'NAME',
    ...columns.map((column) => column.name),
    'AGE',
    ...(isWide ? ['REVISION', 'LABELS'] : []),
  ];
  const rows = items.map((item) => [
    ...withNamespace(item.metadata.namespace),
    item.metadata.name,
    ...columns.map((column) => column.of(item.spec)),
    ageOf(Date.parse(item.metadata.creationTimestamp), nowMs),
    ...(isWide ? [item.metadata.resourceVersion, labelsText(item.metadata.labels)] : []),
  ]);
  return table(head, rows);
}

async function getRecords(
  { io, client }: CommandContext,
  records: Records,
  name: string | undefined,
  flags: GetFlags,
): Promise<void> {
  const isAll = flags.allNamespaces === true || records === 'nodes' || name !== undefined;
  const query = isAll ? '' : `?namespace=${encodeURIComponent(flags.namespace)}`;
  const { items } = await client.get<ListBody<NodeBody | InstanceBody>>(`/v1/${records}${query}`);
  const chosen = name === undefined ? items : items.filter((item) => nameOf(item) === name);
  if (name !== undefined && chosen.length === 0) throw refused(`there is no ${records.slice(0, -1)} ${name}`);
  const value = name === undefined ? { items: chosen } : chosen[0];
  if (flags.output === 'json') io.out(json(value));
  else if (flags.output === 'yaml') io.out(stringify(value, { aliasDuplicateObjects: false }));
  else if (chosen.length === 0) io.err(`there are no ${records}\n`);
  else if (records === 'nodes') io.out(nodeTable(chosen as NodeBody[]));
  else io.out(instanceTable(chosen as InstanceBody[]));
}

function nameOf(item: NodeBody | InstanceBody): string {
  return 'id' in item ? item.id : item.name;
}

export function nodeTable(nodes: readonly NodeBody[]): string {
  return table(
    ['NAME', 'STATE', 'INSTANCES', 'ADDRESSES', 'LABELS'],
    nodes.map((node) => [
      node.name,
      node.alive ? 'alive' : 'unknown',
      String(node.instances),
      node.addresses.join(',') || '-',
      labelsText(node.labels),
    ]),
  );
}

export function instanceTable(instances: readonly InstanceBody[]): string {
  return table(
    ['INSTANCE', 'STATE', 'ADDRESSES', 'LINK', 'RESTARTS', 'REASON'],
    instances.map((instance) => [
      instance.id,
      instance.state,
      instance.addresses.join(',') || '-',
      instance.linkPort === 0 ? '-' : String(instance.linkPort),
      String(instance.restarts ?? 0),
      instance.reason ?? '',
    ]),
  );
}

function listOf(items: readonly ResourceBody[]): unknown {
  return { apiVersion: 'v1', kind: 'List', items };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
