/** Where the connections of a Service's opaque ports go (Gateway API `TCPRoute`). */
import { type Static, Type } from 'typebox';
import { defineKind, gatewayVersions } from './kind.ts';
import { checkBackends, parentRefs, tcpBackendRef } from './route-parts.ts';
import { closed, list, text } from './schema.ts';

const rule = closed({
  name: Type.Optional(text('dns-name')),
  backendRefs: list(tcpBackendRef, { minItems: 1, maxItems: 16 }),
});

const schema = closed({
  parentRefs,
  /** One rule, as bytes have nothing to tell rules apart by. */
  rules: list(rule, { minItems: 1, maxItems: 1 }),
});

export type TcpRouteSpec = Static<typeof schema>;
export type TcpRouteRule = Static<typeof rule>;

export const tcpRoute = defineKind({
  name: 'TCPRoute',
  apiVersions: gatewayVersions('v1alpha2'),
  schema,
  example: {
    parentRefs: [{ group: '', kind: 'Service', name: 'ledger', sectionName: 'db', port: 5432 }],
    rules: [
      {
        name: 'all',
        backendRefs: [
          { name: 'ledger-old', port: 5432, weight: 3 },
          { name: 'ledger-new', namespace: 'lab', port: 5432, weight: 1 },
        ],
      },
    ],
  },
  check(spec, report) {
    spec.rules.forEach((each, index) => {
      checkBackends(each.backendRefs, ['rules', index, 'backendRefs'], report);
    });
  },
});
