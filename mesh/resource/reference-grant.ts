/** Lets routes of other namespaces lead to Services of this one (Gateway API `ReferenceGrant`). */
import { type Static, Type } from 'typebox';
import { defineKind, gatewayVersions } from './kind.ts';
import { closed, list, oneOf, text } from './schema.ts';

const schema = closed({
  from: list(
    closed({
      group: oneOf(['gateway.networking.k8s.io']),
      kind: oneOf(['HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute']),
      namespace: text('dns-label'),
    }),
    { minItems: 1, maxItems: 16 },
  ),
  to: list(
    closed({
      group: oneOf(['', 'heddle']),
      kind: oneOf(['Service']),
      /** All of them where it is left out. */
      name: Type.Optional(text('dns-label')),
    }),
    { minItems: 1, maxItems: 16 },
  ),
});

export type ReferenceGrantSpec = Static<typeof schema>;

export const referenceGrant = defineKind({
  name: 'ReferenceGrant',
  apiVersions: gatewayVersions('v1beta1'),
  schema,
  example: {
    from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop' }],
    to: [{ group: '', kind: 'Service', name: 'orders-v2' }],
  },
});
