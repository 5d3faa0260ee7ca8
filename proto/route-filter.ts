/** `RouteFilter` to and from its message. */
import { create } from '@bufbuild/protobuf';
import type { HeaderChange, PathChange, Redirect, Rewrite, RouteFilter } from '../mesh/model.ts';
import { portFrom, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { pathChangeKinds } from './words.ts';

export function filterToWire(filter: RouteFilter): wire.RouteFilter {
  return create(wire.RouteFilterSchema, { filter: chosenToWire(filter) });
}

function chosenToWire(filter: RouteFilter): wire.RouteFilter['filter'] {
  switch (filter.kind) {
    case 'request_headers':
      return { case: 'requestHeaders', value: changeToWire(filter) };
    case 'response_headers':
      return { case: 'responseHeaders', value: changeToWire(filter) };
    case 'redirect':
      return { case: 'redirect', value: redirectToWire(filter) };
    case 'rewrite':
      return { case: 'rewrite', value: rewriteToWire(filter) };
  }
}

export function filterFromWire(message: wire.RouteFilter, path: string, report: Report): RouteFilter {
  const { filter } = message;
  switch (filter.case) {
    case 'requestHeaders':
      return { kind: 'request_headers', ...changeFromWire(filter.value) };
    case 'responseHeaders':
      return { kind: 'response_headers', ...changeFromWire(filter.value) };
    case 'redirect':
      return { kind: 'redirect', ...redirectFromWire(filter.value, `${path}.redirect`, report) };
    case 'rewrite':
      return { kind: 'rewrite', ...rewriteFromWire(filter.value, `${path}.rewrite`, report) };
    case undefined:
      report({ path, message: 'no filter that this version knows' });
      return { kind: 'rewrite', hostname: undefined, path: undefined };
  }
}

function changeToWire(change: HeaderChange): wire.HeaderChange {
  return create(wire.HeaderChangeSchema, {
    set: change.set.map(({ name, value }) => ({ name, value })),
    add: change.add.map(({ name, value }) => ({ name, value })),
    remove: [...change.remove],
  });
}

function changeFromWire(message: wire.HeaderChange): HeaderChange {
  return {
    set: message.set.map(({ name, value }) => ({ name, value })),
    add: message.add.map(({ name, value }) => ({ name, value })),
    remove: message.remove,
  };
}

function redirectToWire(redirect: Redirect): wire.Redirect {
  return create(wire.RedirectSchema, {
    ...(redirect.scheme === undefined ? {} : { scheme: redirect.scheme }),
    ...(redirect.hostname === undefined ? {} : { hostname: redirect.hostname }),
    ...(redirect.port === undefined ? {} : { port: redirect.port }),
    ...(redirect.path === undefined ? {} : { path: pathChangeToWire(redirect.path) }),
    status: redirect.status,
  });
}

const statuses = [301, 302, 303, 307, 308] as const;

function redirectFromWire(message: wire.Redirect, path: string, report: Report): Redirect {
  const status = statuses.find((known) => known === message.status);
  if (status === undefined) report({ path: `${path}.status`, message: `unknown value ${message.status}` });
  return {
    scheme: schemeFromWire(message.scheme, `${path}.scheme`, report),
    hostname: message.hostname,
    port: message.port === undefined ? undefined : portFrom(message.port, `${path}.port`, report),
    path: pathChangeFromWire(message.path, `${path}.path`, report),
    status: status ?? 302,
  };
}

function schemeFromWire(scheme: string | undefined, path: string, report: Report): Redirect['scheme'] {
  if (scheme === undefined || scheme === 'http' || scheme === 'https') return scheme;
  report({ path, message: `expected http or https, got '${scheme}'` });
  return undefined;
}

function rewriteToWire(rewrite: Rewrite): wire.Rewrite {
  return create(wire.RewriteSchema, {
    ...(rewrite.hostname === undefined ? {} : { hostname: rewrite.hostname }),
    ...(rewrite.path === undefined ? {} : { path: pathChangeToWire(rewrite.path) }),
  });
}

function rewriteFromWire(message: wire.Rewrite, path: string, report: Report): Rewrite {
  return { hostname: message.hostname, path: pathChangeFromWire(message.path, `${path}.path`, report) };
}

function pathChangeToWire(change: PathChange): wire.PathChange {
  return create(wire.PathChangeSchema, { kind: pathChangeKinds.toWire(change.kind), value: change.value });
}

function pathChangeFromWire(
  message: wire.PathChange | undefined,
  path: string,
  report: Report,
): PathChange | undefined {
  if (message === undefined) return undefined;
  return { kind: pathChangeKinds.fromWire(message.kind, `${path}.kind`, report), value: message.value };
}
