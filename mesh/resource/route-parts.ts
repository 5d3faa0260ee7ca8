/** What the Gateway API's routes have in common: parents, backends, header matches and filters. */
import { type Static, Type } from 'typebox';
import { regexProblem } from './format.ts';
import { type Path, type Report, refuseTwins } from './kind.ts';
import { closed, integer, list, oneOf, port, text } from './schema.ts';

export const parentRef = closed({
  group: Type.Optional(Type.String({ maxLength: 253 })),
  /** The Gateway API's default; inside the mesh a parent is a `Service`. */
  kind: oneOf(['Service', 'Gateway'], { default: 'Gateway' }),
  namespace: Type.Optional(text('dns-label')),
  name: text('dns-name'),
  /** The name of one of the Service's ports. */
  sectionName: Type.Optional(text('dns-name')),
  port: Type.Optional(port()),
});

export const parentRefs = list(parentRef, { maxItems: 32 });

/** Accepted and, inside the mesh, ignored. */
export const hostnames = list(Type.String({ maxLength: 253 }), { maxItems: 16 });

const backendFields = {
  group: oneOf(['', 'heddle'], { default: '' }),
  kind: oneOf(['Service'], { default: 'Service' }),
  namespace: Type.Optional(text('dns-label')),
  name: text('dns-label'),
  port: Type.Optional(port()),
  weight: integer(0, 1_000_000, { default: 1 }),
};

const headerValues = list(closed({ name: text('token'), value: text('field-value') }), { maxItems: 16 });

const headerFilter = closed({
  set: headerValues,
  add: headerValues,
  remove: list(text('token'), { maxItems: 16 }),
});

const pathModifier = closed({
  type: oneOf(['ReplaceFullPath', 'ReplacePrefixMatch']),
  replaceFullPath: Type.Optional(Type.String({ maxLength: 1024 })),
  replacePrefixMatch: Type.Optional(Type.String({ maxLength: 1024 })),
});

const redirect = closed({
  scheme: Type.Optional(oneOf(['http', 'https'])),
  hostname: Type.Optional(text('dns-name')),
  path: Type.Optional(pathModifier),
  port: Type.Optional(port()),
  statusCode: Type.Unsafe<301 | 302 | 303 | 307 | 308>({
    type: 'integer',
    enum: [301, 302, 303, 307, 308],
    default: 302,
  }),
});

const rewrite = closed({
  hostname: Type.Optional(text('dns-name')),
  path: Type.Optional(pathModifier),
});

const headerFilters = {
  requestHeaderModifier: Type.Optional(headerFilter),
  responseHeaderModifier: Type.Optional(headerFilter),
};

export const grpcFilter = closed({
  type: oneOf(['RequestHeaderModifier', 'ResponseHeaderModifier']),
  ...headerFilters,
});

export const httpFilter = closed({
  type: oneOf(['RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestRedirect', 'URLRewrite']),
  ...headerFilters,
  requestRedirect: Type.Optional(redirect),
  urlRewrite: Type.Optional(rewrite),
});

export const tcpBackendRef = closed(backendFields);
export const grpcBackendRef = closed({ ...backendFields, filters: list(grpcFilter, { maxItems: 16 }) });
export const httpBackendRef = closed({ ...backendFields, filters: list(httpFilter, { maxItems: 16 }) });

export const headerMatch = closed({
  type: oneOf(['Exact', 'RegularExpression'], { default: 'Exact' }),
  name: text('token'),
  value: Type.String({ minLength: 1, maxLength: 4096 }),
});

export type ParentRef = Static<typeof parentRef>;
export type BackendRef = Static<typeof tcpBackendRef> & { readonly filters?: readonly HttpFilter[] };
export type HttpFilter = Static<typeof httpFilter>;
export type HeaderFilter = Static<typeof headerFilter>;
export type PathModifier = Static<typeof pathModifier>;
export type HeaderMatch = Static<typeof headerMatch>;

/** Reports expressions that do not compile; `at` leads to the list of matches. */
export function checkHeaderMatches(headers: readonly HeaderMatch[], at: Path, report: Report): void {
  headers.forEach((header, index) => {
    const problem = header.type === 'RegularExpression' ? regexProblem(header.value) : undefined;
    if (problem !== undefined) report([...at, index, 'value'], problem);
  });
}

/** A port is part of every reference to a Service. */
export function checkBackends(backends: readonly BackendRef[], at: Path, report: Report): void {
  backends.forEach((backend, index) => {
    if (backend.port === undefined) report([...at, index], "missing field 'port'");
    if (backend.filters !== undefined) checkFilters(backend.filters, [...at, index, 'filters'], true, report);
  });
}

/** The field that each type of filter carries its settings in. */
const settingsOf = {
  RequestHeaderModifier: 'requestHeaderModifier',
  ResponseHeaderModifier: 'responseHeaderModifier',
  RequestRedirect: 'requestRedirect',
  URLRewrite: 'urlRewrite',
} as const;

/** Fields that frame a message or that the mesh itself writes; a route cannot change them. */
const fixedFields = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'te',
  'trailer',
  'upgrade',
  'http2-settings',
  'expect',
]);

/** Checks a list of filters; `hasPrefix` says whether every match of the rule has a path prefix to replace. */
export function checkFilters(
  filters: readonly HttpFilter[],
  at: Path,
  hasPrefix: boolean,
  report: Report,
): void {
  refuseTwins(filters, at, 'filter', (filter) => filter.type, report);
  filters.forEach((filter, index) => {
    const here = [...at, index];
    for (const [type, field] of Object.entries(settingsOf)) {
      const isThere = filter[field] !== undefined;
      if (type === filter.type && !isThere) report(here, `filter ${type} needs the field '${field}'`);
      if (type !== filter.type && isThere)
        report([...here, field], `filter ${filter.type} has no such field`);
    }
    checkHeaderFilter(filter.requestHeaderModifier, [...here, 'requestHeaderModifier'], report);
    checkHeaderFilter(filter.responseHeaderModifier, [...here, 'responseHeaderModifier'], report);
    checkPathModifier(filter.requestRedirect?.path, [...here, 'requestRedirect', 'path'], hasPrefix, report);
    checkPathModifier(filter.urlRewrite?.path, [...here, 'urlRewrite', 'path'], hasPrefix, report);
  });
  const types = filters.map((filter) => filter.type);
  if (types.includes('RequestRedirect') && types.includes('URLRewrite')) {
    report(at, 'a rule either redirects or rewrites, not both');
  }
}

function checkHeaderFilter(filter: HeaderFilter | undefined, at: Path, report: Report): void {
  if (filter === undefined) return;
  const refuseFixed = (name: string, path: Path) => {
    const lower = name.toLowerCase();
    if (fixedFields.has(lower) || lower.startsWith('heddle-'))
      report(path, `'${lower}' cannot be changed by a route`);
  };
  filter.set.forEach(({ name }, index) => {
    refuseFixed(name, [...at, 'set', index, 'name']);
  });
  filter.add.forEach(({ name }, index) => {
    refuseFixed(name, [...at, 'add', index, 'name']);
  });
  filter.remove.forEach((name, index) => {
    refuseFixed(name, [...at, 'remove', index]);
  });
}

const replacementShape = /^(?:\/[\x21-\x22\x24-\x3e\x40-\x7e]*)?$/;

function checkPathModifier(
  path: PathModifier | undefined,
  at: Path,
  hasPrefix: boolean,
  report: Report,
): void {
  if (path === undefined) return;
  const full = path.type === 'ReplaceFullPath';
  const value = full ? path.replaceFullPath : path.replacePrefixMatch;
  const other = full ? path.replacePrefixMatch : path.replaceFullPath;
  const field = full ? 'replaceFullPath' : 'replacePrefixMatch';
  if (value === undefined) report(at, `type ${path.type} needs the field '${field}'`);
  if (other !== undefined) report(at, `type ${path.type} has only the field '${field}'`);
  if (value !== undefined && !replacementShape.test(value)) {
    report([...at, field], 'expected a path that begins with /, without query, fragment or spaces');
  }
  if (!full && !hasPrefix) report(at, 'ReplacePrefixMatch needs matches of type PathPrefix');
}
