/** What the kinds refuse beyond their schemas. Each row: kind, a change to its example, and what is said. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { resourceKinds } from '../../../../mesh/resource/index.ts';
import { checkResource, showPath } from '../../../../mesh/resource/read.ts';

// biome-ignore lint/suspicious/noExplicitAny: the rows reach into examples of many shapes.
type Spec = any;

const rows: readonly (readonly [string, string, (spec: Spec) => void, readonly string[]])[] = [
  [
    'Service',
    'a port twice',
    (spec) => spec.ports.push({ port: 80 }),
    ['spec.ports[2]: port 80 is there twice'],
  ],
  [
    'Service',
    'a target port that is none',
    (spec) => {
      spec.ports[0].targetPort = 0;
    },
    ['spec.ports[0].targetPort: expected a port from 1 to 65535 or the name of one'],
  ],
  [
    'ServiceInstance',
    'tls without identity',
    (spec) => {
      delete spec.identity;
    },
    ["spec.transport: transport tls needs an 'identity'"],
  ],
  [
    'ServiceInstance',
    'an address that is a name',
    (spec) => {
      spec.addresses = ['db.local'];
    },
    ['spec.addresses[0]: expected an IPv4 or IPv6 address, got "db.local"'],
  ],
  [
    'Workload',
    'two ways to say where',
    (spec) => {
      spec.node = 'one';
    },
    ["spec.nodeSelector: either 'node' or 'nodeSelector' says where it runs, not both"],
  ],
  [
    'Workload',
    'a probe of a port that is not its own',
    (spec) => {
      spec.readiness.http.port = 1;
    },
    ['spec.readiness: port 1 is not among the ports'],
  ],
  [
    'Workload',
    'two ways to probe',
    (spec) => {
      spec.readiness.grpc = { port: 8080 };
    },
    ["spec.readiness: expected one of 'port', 'http' and 'grpc'"],
  ],
  [
    'Workload',
    'a shared HTTP port',
    (spec) => {
      spec.ports[0].shared = true;
    },
    ['spec.ports[0].shared: only ports of protocol tcp or tls are shared, this one is http'],
  ],
  [
    'Workload',
    'limits of no such name or size',
    (spec) => {
      spec.sidecarLimits = { 'http2.plainStream': 10, 'http1.maxFields': 5 };
    },
    [
      `spec.sidecarLimits["http2.plainStream"]: no such limit, did you mean 'http2.plainStreams'?`,
      'spec.sidecarLimits["http1.maxFields"]: expected a whole number from 10 to 1000, got 5',
    ],
  ],
  [
    'HTTPRoute',
    'a path that servers read differently',
    (spec) => {
      spec.rules[1].matches[0].path.value = '/a/../b';
    },
    ['spec.rules[1].matches[0].path.value: a path to match holds no //, /./, /../ or encoded slash'],
  ],
  [
    'HTTPRoute',
    'an expression that does not compile',
    (spec) => {
      spec.rules[0].matches[0].headers[0] = { type: 'RegularExpression', name: 'a', value: '(' };
    },
    ['spec.rules[0].matches[0].headers[0].value: error parsing regexp: missing closing ): `(`'],
  ],
  [
    'HTTPRoute',
    'a filter without its settings',
    (spec) => {
      spec.rules[0].filters = [{ type: 'URLRewrite', requestHeaderModifier: {} }];
    },
    [
      'spec.rules[0].filters[0].requestHeaderModifier: filter URLRewrite has no such field',
      "spec.rules[0].filters[0]: filter URLRewrite needs the field 'urlRewrite'",
    ],
  ],
  [
    'HTTPRoute',
    'a prefix replaced where none was matched',
    (spec) => {
      spec.rules[0].matches[0].path = { type: 'Exact', value: '/api' };
    },
    ['spec.rules[0].filters[2].urlRewrite.path: ReplacePrefixMatch needs matches of type PathPrefix'],
  ],
  [
    'HTTPRoute',
    'a change of framing',
    (spec) => {
      spec.rules[0].filters[0].requestHeaderModifier.set[0].name = 'Content-Length';
    },
    [
      "spec.rules[0].filters[0].requestHeaderModifier.set[0].name: 'content-length' cannot be changed by a route",
    ],
  ],
  [
    'HTTPRoute',
    'a redirect with backends',
    (spec) => {
      spec.rules[1].backendRefs = [{ name: 'a', port: 1 }];
    },
    ['spec.rules[1].backendRefs: a rule that redirects has no backends'],
  ],
  [
    'HTTPRoute',
    'a backend without port',
    (spec) => {
      delete spec.rules[0].backendRefs[0].port;
    },
    ["spec.rules[0].backendRefs[0]: missing field 'port'"],
  ],
  [
    'HTTPRoute',
    'an attempt longer than the whole',
    (spec) => {
      spec.rules[0].timeouts.backendRequest = '11s';
    },
    ['spec.rules[0].timeouts.backendRequest: 11s is longer than request 10s'],
  ],
  [
    'HTTPRoute',
    'a filter of another kind',
    (spec) => {
      spec.rules[0].filters[0].type = 'RequestMirror';
    },
    [
      'spec.rules[0].filters[0].type: expected "RequestHeaderModifier" or "ResponseHeaderModifier" or "RequestRedirect" or "URLRewrite", got "RequestMirror"',
    ],
  ],
  [
    'GRPCRoute',
    'a method match of nothing',
    (spec) => {
      spec.rules[0].matches[0].method = {};
    },
    ["spec.rules[0].matches[0].method: expected 'service', 'method' or both"],
  ],
  [
    'AuthorizationPolicy',
    'a principal by half',
    (spec) => {
      spec.rules[0].from[0].source.principals = ['mesh.local/ns/shop/*'];
    },
    [
      'spec.rules[0].from[0].source.principals[0]: expected spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT or \'*\', got "mesh.local/ns/shop/*"',
    ],
  ],
  [
    'AuthorizationPolicy',
    'an empty source',
    (spec) => {
      spec.rules[0].from[0].source = {};
    },
    ["spec.rules[0].from[0].source: expected 'principals' or 'namespaces'"],
  ],
  [
    'AuthorizationPolicy',
    'a star in the middle',
    (spec) => {
      spec.rules[0].to[0].operation.paths = ['/a*b'];
    },
    [
      'spec.rules[0].to[0].operation.paths[0]: expected a path that begins with /, with a star at most at its end, got "/a*b"',
    ],
  ],
  [
    'PeerAuthentication',
    'a port that is none',
    (spec) => {
      spec.portLevelMtls = { http: { mode: 'STRICT' } };
    },
    ["spec.portLevelMtls.http: expected a port from 1 to 65535, got 'http'"],
  ],
  [
    'TrafficPolicy',
    'many attempts and a bad duration',
    (spec) => {
      spec.retry.attempts = 5;
      spec.timeouts.idle = '5';
    },
    [
      'spec.timeouts.idle: expected a duration such as 500ms, 10s or 1h30m, at most 24 days, got "5"',
      'spec.retry.attempts: expected at most 1, got 5',
    ],
  ],
];

describe('checks of single kinds', () => {
  for (const [name, what, change, expected] of rows) {
    it(`${name} refuses ${what}`, () => {
      const kind = resourceKinds.get(name);
      assert.ok(kind !== undefined);
      const spec = structuredClone(kind.example);
      change(spec);
      const { problems } = checkResource({
        apiVersion: kind.apiVersions[0],
        kind: name,
        metadata: { name: 'a' },
        spec,
      });
      assert.deepEqual(
        problems.map(({ path, message }) => `${showPath(path)}: ${message}`),
        expected,
      );
    });
  }
});
