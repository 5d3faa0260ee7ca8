/** `ServiceRoutes` to and from its message. */
import { create } from '@bufbuild/protobuf';
import type {
  Backend,
  PathMatch,
  PortRoutes,
  RouteMatch,
  RouteRule,
  RouteTimeouts,
  ServiceRoutes,
  ValueMatch,
} from '../mesh/model.ts';
import { each, portFrom, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { filterFromWire, filterToWire } from './route-filter.ts';
import { refFromWire } from './settings.ts';
import { appProtocols, pathMatchKinds, valueMatchKinds } from './words.ts';

export function routesToWire(routes: ServiceRoutes): wire.ServiceRoutes {
  return create(wire.ServiceRoutesSchema, {
    service: { ...routes.service },
    ports: routes.ports.map((port) => ({
      port: port.port,
      protocol: appProtocols.toWire(port.protocol),
      rules: port.rules.map(ruleToWire),
    })),
  });
}

export function routesFromWire(message: wire.ServiceRoutes, path: string, report: Report): ServiceRoutes {
  return {
    service: refFromWire(message.service, `${path}.service`, report),
    ports: each(message.ports, `${path}.ports`, report, portRoutesFromWire),
  };
}

function portRoutesFromWire(message: wire.PortRoutes, path: string, report: Report): PortRoutes {
  return {
    port: portFrom(message.port, `${path}.port`, report),
    protocol: appProtocols.fromWire(message.protocol, `${path}.protocol`, report),
    rules: each(message.rules, `${path}.rules`, report, ruleFromWire),
  };
}

function ruleToWire(rule: RouteRule): wire.RouteRule {
  const { requestMs, backendRequestMs } = rule.timeouts;
  return create(wire.RouteRuleSchema, {
    route: rule.route,
    match: matchToWire(rule.match),
    filters: rule.filters.map(filterToWire),
    backends: rule.backends.map(backendToWire),
    timeouts: {
      ...(requestMs === undefined ? {} : { requestMs }),
      ...(backendRequestMs === undefined ? {} : { backendRequestMs }),
    },
  });
}

function ruleFromWire(message: wire.RouteRule, path: string, report: Report): RouteRule {
  return {
    route: message.route,
    match: matchFromWire(message.match, `${path}.match`, report),
    filters: each(message.filters, `${path}.filters`, report, filterFromWire),
    backends: each(message.backends, `${path}.backends`, report, backendFromWire),
    timeouts: routeTimeoutsFromWire(message.timeouts),
  };
}

function routeTimeoutsFromWire(message: wire.RouteTimeouts | undefined): RouteTimeouts {
  return { requestMs: message?.requestMs, backendRequestMs: message?.backendRequestMs };
}

function matchToWire(match: RouteMatch): wire.RouteMatch {
  return create(wire.RouteMatchSchema, {
    ...(match.path === undefined
      ? {}
      : { path: { kind: pathMatchKinds.toWire(match.path.kind), value: match.path.value } }),
    ...(match.method === undefined ? {} : { method: match.method }),
    headers: match.headers.map(valueMatchToWire),
    query: match.query.map(valueMatchToWire),
    ...(match.serverName === undefined ? {} : { serverName: match.serverName }),
  });
}

/** An absent match would match everything, so it is a problem and not a default. */
function matchFromWire(message: wire.RouteMatch | undefined, path: string, report: Report): RouteMatch {
  if (message === undefined) {
    report({ path, message: 'missing' });
    return { path: undefined, method: undefined, headers: [], query: [], serverName: undefined };
  }
  return {
    path: message.path === undefined ? undefined : pathFromWire(message.path, `${path}.path`, report),
    method: message.method,
    headers: each(message.headers, `${path}.headers`, report, valueMatchFromWire),
    query: each(message.query, `${path}.query`, report, valueMatchFromWire),
    serverName: message.serverName,
  };
}

function pathFromWire(message: wire.PathMatch, path: string, report: Report): PathMatch {
  return { kind: pathMatchKinds.fromWire(message.kind, `${path}.kind`, report), value: message.value };
}

function valueMatchToWire(match: ValueMatch): wire.ValueMatch {
  return create(wire.ValueMatchSchema, {
    name: match.name,
    kind: valueMatchKinds.toWire(match.kind),
    value: match.value,
  });
}

function valueMatchFromWire(message: wire.ValueMatch, path: string, report: Report): ValueMatch {
  return {
    name: message.name,
    kind: valueMatchKinds.fromWire(message.kind, `${path}.kind`, report),
    value: message.value,
  };
}

function backendToWire(backend: Backend): wire.Backend {
  return create(wire.BackendSchema, {
    weight: backend.weight,
    filters: backend.filters.map(filterToWire),
    target:
      'cluster' in backend.target
        ? { case: 'cluster', value: backend.target.cluster }
        : { case: 'problem', value: backend.target.problem },
  });
}

function backendFromWire(message: wire.Backend, path: string, report: Report): Backend {
  return {
    weight: message.weight,
    filters: each(message.filters, `${path}.filters`, report, filterFromWire),
    target: targetFromWire(message.target, `${path}.target`, report),
  };
}

function targetFromWire(target: wire.Backend['target'], path: string, report: Report): Backend['target'] {
  switch (target.case) {
    case 'cluster':
      return { cluster: target.value };
    case 'problem':
      return { problem: target.value };
    case undefined:
      report({ path, message: 'missing' });
      return { problem: '' };
  }
}
