// hot: one per header line that was not seen before; repeated lines share one object.
/**
 * A header field as all codecs see it. Names are in lower case, values are latin1 text (one code unit, one byte).
 *
 * Fields are immutable, so a line that repeats from request to request is one object (see `field-memo.ts`):
 * parsing it, lowering its name and finding its HPACK entry are done once.
 */

/** The names that the path itself acts on; everything else is `other`. A closed set of small integers. */
export const fieldKind = {
  other: 0,
  host: 1,
  connection: 2,
  keepAlive: 3,
  proxyConnection: 4,
  transferEncoding: 5,
  contentLength: 6,
  te: 7,
  trailer: 8,
  upgrade: 9,
  http2Settings: 10,
  expect: 11,
  date: 12,
  via: 13,
  cookie: 14,
  authorization: 15,
  requestId: 16,
  traceparent: 17,
  b3: 18,
  heddlePort: 19,
  heddle: 20,
  grpcTimeout: 21,
  grpcStatus: 22,
  contentType: 23,
  proxyAuthorization: 24,
  setCookie: 25,
  /** A name by which a caller could claim to be somebody. */
  identity: 26,
  /** A name that turns into one of framing, routing or identity where `_` and `-` are the same (CGI). */
  twin: 27,
} as const;

export type FieldKind = (typeof fieldKind)[keyof typeof fieldKind];

const kindByName: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ['host', fieldKind.host],
  ['connection', fieldKind.connection],
  ['keep-alive', fieldKind.keepAlive],
  ['proxy-connection', fieldKind.proxyConnection],
  ['transfer-encoding', fieldKind.transferEncoding],
  ['content-length', fieldKind.contentLength],
  ['te', fieldKind.te],
  ['trailer', fieldKind.trailer],
  ['upgrade', fieldKind.upgrade],
  ['http2-settings', fieldKind.http2Settings],
  ['expect', fieldKind.expect],
  ['date', fieldKind.date],
  ['via', fieldKind.via],
  ['cookie', fieldKind.cookie],
  ['authorization', fieldKind.authorization],
  ['x-request-id', fieldKind.requestId],
  ['traceparent', fieldKind.traceparent],
  ['b3', fieldKind.b3],
  ['heddle-port', fieldKind.heddlePort],
  ['grpc-timeout', fieldKind.grpcTimeout],
  ['grpc-status', fieldKind.grpcStatus],
  ['content-type', fieldKind.contentType],
  ['proxy-authorization', fieldKind.proxyAuthorization],
  ['set-cookie', fieldKind.setCookie],
  ['x-forwarded-client-cert', fieldKind.identity],
  ['l5d-client-id', fieldKind.identity],
  ['x-mesh-peer-id', fieldKind.identity],
]);

/** Names whose `_` twins are refused, besides all of the kinds above. */
const guardedNames: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-real-ip',
]);

/** The slot of a field that no table of any hop may hold, by its sender's word (RFC 7541 §7.1.3). */
export const neverIndexedSlot = -2;

export class Field {
  readonly name: string;
  readonly value: string;
  readonly kind: FieldKind;
  /** The field as an HTTP/1.1 line, CRLF included; nothing of the mesh's own, which applications are not shown. */
  readonly line: string;
  /** A small integer that no other live memoised field has, or -1 or `neverIndexedSlot`; encoders key tables by it. */
  readonly slot: number;

  /** `name` must be a lower-case token and `value` free of CR, LF and NUL: parsers check, callers in code know. */
  constructor(name: string, value: string, slot = -1, kind = kindOfName(name)) {
    this.name = name;
    this.value = value;
    this.kind = kind;
    this.line = kind === fieldKind.heddle ? '' : `${name}: ${value}\r\n`;
    this.slot = slot;
  }
}

/** The value of the first field of that name, in lower case. */
export function fieldValue(fields: readonly Field[], name: string): string | undefined {
  for (let at = 0; at < fields.length; at++) {
    const field = fields[at] as Field;
    if (field.name === name) return field.value;
  }
  return undefined;
}

/** Kinds that neither frame, route nor identify. */
const harmlessTwins: ReadonlySet<FieldKind> = new Set<FieldKind>([
  fieldKind.requestId,
  fieldKind.contentType,
  fieldKind.grpcTimeout,
  fieldKind.grpcStatus,
]);

/** The kind of a lower-case name; every name under `heddle-` other than `heddle-port` is `heddle`. */
export function kindOfName(name: string): FieldKind {
  const kind = kindByName.get(name);
  if (kind !== undefined) return kind;
  if (name.startsWith('heddle-')) return fieldKind.heddle;
  return name.includes('_') && isGuarded(name.replaceAll('_', '-')) ? fieldKind.twin : fieldKind.other;
}

function isGuarded(name: string): boolean {
  const kind = kindByName.get(name);
  if (kind !== undefined) return !harmlessTwins.has(kind);
  return guardedNames.has(name) || name.startsWith('heddle-');
}
