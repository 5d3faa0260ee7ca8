/** The Connection field: what it says about this hop, and which fields it takes along: RFC 9110 §7.6.1. */
import { type Field, fieldKind, kindOfName } from '../field.ts';
import { consistsOf, tokenByte } from './chars.ts';
import type { FieldLines } from './field-lines.ts';
import { limits } from './limits.ts';
import { Refusal } from './refusal.ts';

export interface ConnectionOptions {
  readonly close: boolean;
  readonly upgrade: boolean;
  /** Lower-case names of fields that go no farther. */
  readonly nominated: readonly string[];
}

const none: ConnectionOptions = { close: false, upgrade: false, nominated: [] };
/** The values that nearly every message has; the object is shared. */
const common: ReadonlyMap<string, ConnectionOptions> = new Map<string, ConnectionOptions>([
  ['keep-alive', none],
  ['Keep-Alive', none],
  ['close', { ...none, close: true }],
  ['upgrade', { ...none, upgrade: true }],
  ['Upgrade', { ...none, upgrade: true }],
]);

/** Fields that nobody may have removed on the way: their loss would change framing, routing or identity. */
const untouchable: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'cookie',
  'set-cookie',
  'authorization',
  'expect',
]);

export function connectionOptionsOf(lines: FieldLines): ConnectionOptions {
  if (!lines.has(fieldKind.connection)) return none;
  const value = lines.list(fieldKind.connection);
  return common.get(value) ?? parseOptions(value);
}

function parseOptions(value: string): ConnectionOptions {
  const members = value.toLowerCase().split(',');
  if (members.length > limits.maxConnectionOptions) throw new Refusal(400, 'too many connection options');
  let close = false;
  let upgrade = false;
  const nominated: string[] = [];
  for (const member of members) {
    const option = trimBlanks(member);
    if (option === '') continue;
    if (!consistsOf(option, tokenByte)) throw new Refusal(400, 'connection option is not a token');
    if (untouchable.has(option)) throw new Refusal(400, `connection nominates ${option}`);
    if (option === 'close') close = true;
    else if (option === 'upgrade') upgrade = true;
    else if (option !== 'keep-alive') nominated.push(option);
  }
  return { close, upgrade, nominated };
}

/** The fields without those that were nominated. */
export function withoutNominated(fields: Field[], nominated: readonly string[]): Field[] {
  if (nominated.length === 0) return fields;
  return fields.filter((field) => !nominated.includes(field.name));
}

/** The members of a list in lower case, without SP and HTAB around them (and nothing else: not `trim`). */
export function membersOf(list: string): string[] {
  return list.toLowerCase().split(',').map(trimBlanks);
}

export function trimBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text, from)) from++;
  while (to > from && isBlank(text, to - 1)) to--;
  return text.slice(from, to);
}

function isBlank(text: string, at: number): boolean {
  return text[at] === ' ' || text[at] === '\t';
}

/** Names that may not come in a trailer section: RFC 9110 §6.5.1. */
export function isTrailerName(name: string): boolean {
  if (forbiddenTrailers.has(name) || name.startsWith('x-forwarded-') || name.startsWith('if-')) return false;
  const kind = kindOfName(name);
  return kind === fieldKind.other || kind === fieldKind.grpcStatus || kind === fieldKind.requestId;
}

const forbiddenTrailers: ReadonlySet<string> = new Set([
  'age',
  'allow',
  'cache-control',
  'content-encoding',
  'content-range',
  'expires',
  'forwarded',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'range',
  'retry-after',
  'vary',
  'warning',
  'www-authenticate',
  'x-real-ip',
]);
