/** The forms that texts inside resources have, each with the words that a refusal says. */
import { isIP } from 'node:net';
import { messageOf } from '../../kit/errors.ts';
import { compileRegex } from '../decide/regex.ts';
import { parseIdentity } from '../identity.ts';
import { durationMs } from './duration.ts';

export interface Format {
  readonly name: string;
  /** What was expected, after "expected". */
  readonly says: string;
  test(text: string): boolean;
}

/** Names that double as ending of a host name. */
const reserved = new Set(['mesh', 'localhost']);

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const subdomain = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const nodeName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
const fieldValue = /^(?![ \t])[\t\x20-\x7e\x80-\xff]{0,4096}(?<![ \t])$/;
const envName = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
const labelKey =
  /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;
const serverName =
  /^(?=.{1,253}$)(?:\*\.)?(?=[^*]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const absolutePath = /^\/[\x21-\x7e]{0,1023}$/;

export const formats = [
  {
    name: 'dns-label',
    says: 'lower-case letters, digits and hyphens (at most 63, not `mesh` or `localhost`)',
    test: (text: string) => label.test(text) && /[a-z]/.test(text) && !reserved.has(text),
  },
  {
    name: 'dns-name',
    says: 'lower-case letters, digits, hyphens and dots',
    test: (text: string) => subdomain.test(text),
  },
  {
    name: 'node-name',
    says: 'letters, digits, hyphens, underscores and dots',
    test: (text: string) => nodeName.test(text),
  },
  { name: 'label-key', says: 'a label name', test: (text: string) => labelKey.test(text) },
  {
    name: 'label-value',
    says: 'at most 63 letters, digits, hyphens, underscores and dots',
    test: (text: string) => labelValue.test(text),
  },
  {
    name: 'duration',
    says: 'a duration such as 500ms, 10s or 1h30m, at most 24 days',
    test: (text: string) => durationMs(text) !== undefined,
  },
  { name: 'ip', says: 'an IPv4 or IPv6 address', test: (text: string) => isIP(text) !== 0 },
  {
    name: 'workload-identity',
    says: 'a name of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT',
    test: (text: string) => parseIdentity(text)?.kind === 'workload',
  },
  { name: 'token', says: 'an HTTP token', test: (text: string) => token.test(text) },
  {
    name: 'field-value',
    says: 'a header value: one line without spaces at its ends',
    test: (text: string) => fieldValue.test(text),
  },
  {
    name: 'env-name',
    says: 'a variable name: letters, digits and underscores',
    test: (text: string) => envName.test(text),
  },
  {
    name: 'server-name',
    says: 'a host name in lower case, its first label may be *, and no address',
    test: (text: string) => serverName.test(text),
  },
  {
    name: 'absolute-path',
    says: 'a path that begins with / and has no spaces',
    test: (text: string) => absolutePath.test(text),
  },
] as const satisfies readonly Format[];

export type FormatName = (typeof formats)[number]['name'];

export const formatByName: ReadonlyMap<string, Format> = new Map(
  formats.map((format) => [format.name, format]),
);

/** What is wrong with a regular expression, or undefined. */
export function regexProblem(pattern: string): string | undefined {
  try {
    compileRegex(pattern);
    return undefined;
  } catch (thrown) {
    return messageOf(thrown);
  }
}
