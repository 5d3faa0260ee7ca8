// hot: one per field that is not in the dynamic table; entries of the table are shared by all requests.
/**
 * A decoded field together with everything that can be known about it once: whether it is well formed, and
 * what the message reader has to do with it. What sits in the dynamic table is judged a single time.
 */
import { Field, fieldKind, kindOfName, neverIndexedSlot } from '../../field.ts';
import { parseAuthority } from '../../http1/authority.ts';
import { isFieldName, isFieldValue, isPath, isToken, parseDecimal } from '../syntax.ts';
import { staticTable } from './static-table.ts';

/** What the message reader does with an entry. Below `firstPseudo` they are regular fields. */
export const action = {
  /** An ordinary field: passed on as it is. */
  pass: 0,
  /** Never allowed here, for the reason in `problem`. */
  refuse: 1,
  contentLength: 2,
  te: 3,
  expect: 4,
  host: 5,
  cookie: 6,
  /** A field of our own: allowed on links only. */
  own: 7,
  /** Framing of the message or secrets of its sender: allowed in a head, dropped from trailers. */
  headOnly: 8,
  firstPseudo: 9,
  method: 9,
  scheme: 10,
  authority: 11,
  path: 12,
  status: 13,
  protocol: 14,
} as const;

export type Action = (typeof action)[keyof typeof action];

/** A name with what follows from it alone. */
export class HeaderName {
  readonly text: string;
  readonly action: Action;
  readonly problem: string;

  constructor(text: string) {
    const [act, problem] = judgeName(text);
    this.text = text;
    this.action = act;
    this.problem = problem;
  }
}

export class HeaderEntry {
  readonly name: HeaderName;
  /** As received, but in lower case for `:authority` and `host`. */
  readonly value: string;
  readonly action: Action;
  /** Why it is refused, else ''. */
  readonly problem: string;
  /** Of regular fields that are passed on. */
  readonly field: Field | undefined;
  /** `content-length` and `:status` as a number. */
  readonly number: number;
  /** RFC 7541 §4.1. */
  readonly size: number;

  /** `isSecret`: the sender forbade every index (RFC 7541 §7.1.3), and so do we when we pass it on. */
  constructor(name: HeaderName, value: string, isSecret = false) {
    this.name = name;
    this.size = name.text.length + value.length + 32;
    let act = name.action;
    let problem = name.problem;
    let text = value;
    let number = -1;
    if (act === action.pass) {
      if (!isFieldValue(value)) {
        act = action.refuse;
        problem = `bad value of ${name.text}`;
      }
    } else if (act !== action.refuse) {
      const judged = judgeValue(act, value);
      if (judged === undefined) {
        act = action.refuse;
        problem = `bad value of ${name.text}`;
      } else if (typeof judged === 'number') number = judged;
      else text = judged;
    }
    this.value = text;
    this.action = act;
    this.problem = problem;
    this.number = number;
    this.field = hasField(act) ? new Field(name.text, text, isSecret ? neverIndexedSlot : -1) : undefined;
  }
}

function hasField(act: Action): boolean {
  return act === action.pass || act === action.headOnly || act === action.cookie || act === action.own;
}

type Judge = (value: string) => number | string | undefined;

/** By action: the number or text that a value means, or undefined where it is not allowed. */
const judges: readonly (Judge | undefined)[] = buildJudges();

function judgeValue(act: Action, value: string): number | string | undefined {
  const judge = judges[act];
  if (judge !== undefined) return judge(value);
  return isFieldValue(value) ? value : undefined;
}

function buildJudges(): (Judge | undefined)[] {
  const list: (Judge | undefined)[] = [];
  const when =
    (holds: (value: string) => boolean): Judge =>
    (value) =>
      holds(value) ? value : undefined;
  list[action.contentLength] = (value) => asNumber(parseDecimal(value), 0);
  // RFC 9113 §8.2.2: `te` has no other value.
  list[action.te] = when((value) => value.toLowerCase() === 'trailers');
  list[action.expect] = when((value) => value.toLowerCase() === '100-continue');
  list[action.host] = parseAuthority;
  list[action.authority] = parseAuthority;
  list[action.method] = when(isToken);
  list[action.protocol] = when(isToken);
  list[action.scheme] = when((value) => value === 'http' || value === 'https');
  list[action.path] = when(isPath);
  list[action.status] = (value) => asNumber(value.length === 3 ? parseDecimal(value) : -1, 100);
  return list;
}

function asNumber(number: number, least: number): number | undefined {
  return number >= least ? number : undefined;
}

function judgeName(text: string): readonly [Action, string] {
  if (text.charCodeAt(0) === 0x3a) return judgePseudo(text);
  if (!isFieldName(text)) return [action.refuse, 'bad field name'];
  switch (kindOfName(text)) {
    case fieldKind.connection:
    case fieldKind.keepAlive:
    case fieldKind.proxyConnection:
    case fieldKind.transferEncoding:
    case fieldKind.upgrade:
    case fieldKind.http2Settings:
      // RFC 9113 §8.2.2.
      return [action.refuse, `${text} does not belong into HTTP/2`];
    case fieldKind.twin:
      return [action.refuse, `${text} passes for another field`];
    case fieldKind.contentLength:
      return [action.contentLength, ''];
    case fieldKind.te:
      return [action.te, ''];
    case fieldKind.expect:
      return [action.expect, ''];
    case fieldKind.host:
      return [action.host, ''];
    case fieldKind.cookie:
      return [action.cookie, ''];
    case fieldKind.heddle:
    case fieldKind.heddlePort:
      return [action.own, ''];
    case fieldKind.authorization:
    case fieldKind.proxyAuthorization:
    case fieldKind.setCookie:
    case fieldKind.trailer:
      return [action.headOnly, ''];
    default:
      return [action.pass, ''];
  }
}

function judgePseudo(text: string): readonly [Action, string] {
  switch (text) {
    case ':method':
      return [action.method, ''];
    case ':scheme':
      return [action.scheme, ''];
    case ':authority':
      return [action.authority, ''];
    case ':path':
      return [action.path, ''];
    case ':status':
      return [action.status, ''];
    case ':protocol':
      return [action.protocol, ''];
    default:
      return [action.refuse, 'unknown pseudo-header'];
  }
}

const knownNames = new Map<string, HeaderName>();

/** The name's shared object where it is one of the static table's, else a new one. */
export function headerName(text: string): HeaderName {
  return knownNames.get(text) ?? new HeaderName(text);
}

/** The static table as entries; index 0 is empty, as in RFC 7541 §6.1. */
export const staticEntries: readonly (HeaderEntry | undefined)[] = [
  undefined,
  ...staticTable.map(([text, value]) => {
    const name = headerName(text);
    knownNames.set(text, name);
    return new HeaderEntry(name, value);
  }),
];
for (const text of [':protocol', 'te', 'x-request-id', 'traceparent']) {
  knownNames.set(text, new HeaderName(text));
}
