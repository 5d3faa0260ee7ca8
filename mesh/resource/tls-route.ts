/** Where the connections of a Service's `tls` ports go by the server name that callers ask for (Gateway API `TLSRoute`). */
import { type Static, Type } from 'typebox';
import { defineKind, refuseTwins } from './kind.ts';
import { checkBackends, parentRefs, tcpBackendRef } from './route-parts.ts';
import { closed, list, text } from './schema.ts';

const rule = closed({
  name: Type.Optional(text('dns-name')),
  backendRefs: list(tcpBackendRef, { minItems: 1, maxItems: 16 }),
});

const schema = closed({
  parentRefs,
  /** Server names (SNI), exact or with a first label `*`; without any the route takes every connection. */
  hostnames: list(text('server-name'), { maxItems: 16 }),
  /** One rule, as a server name is all that there is to tell connections apart by. */
  rules: list(rule, { minItems: 1, maxItems: 1 }),
});

export type TlsRouteSpec = Static<typeof schema>;
export type TlsRouteRule = Static<typeof rule>;

export const tlsRoute = defineKind({
  name: 'TLSRoute',
  apiVersions: ['v1', 'v1alpha3', 'v1alpha2'].map((version) => `gateway.networking.k8s.io/${version}`),
  schema,
  example: {
    parentRefs: [{ group: '', kind: 'Service', name: 'vault', sectionName: 'api', port: 8443 }],
    hostnames: ['vault.example.com', '*.vault.example.com'],
    rules: [
      {
        name: 'all',
        backendRefs: [
          { name: 'vault-blue', port: 8443, weight: 9 },
          { name: 'vault-green', namespace: 'lab', port: 8443, weight: 1 },
        ],
      },
    ],
  },
  check(spec, report) {
    refuseTwins(spec.hostnames, ['hostnames'], 'hostname', (each) => each, report);
    spec.rules.forEach((each, index) => {
      checkBackends(each.backendRefs, ['rules', index, 'backendRefs'], report);
    });
  },
});
