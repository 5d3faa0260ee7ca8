/** One address of a Service that no Workload stands for: a database, a legacy host, the other side of a static file. */
import { type Static, Type } from 'typebox';
import { defineKind, refuseTwins } from './kind.ts';
import { closed, integer, list, oneOf, port, text } from './schema.ts';

const schema = closed({
  /** The Service, in the same namespace. */
  service: text('dns-label'),
  addresses: list(text('ip'), { minItems: 1, maxItems: 16 }),
  transport: oneOf(['plain', 'tls', 'link'], { default: 'plain' }),
  /** The name that its certificate must carry; needed unless `plain`. */
  identity: Type.Optional(text('workload-identity')),
  /** Where its sidecar takes links; needed for `link`. */
  linkPort: Type.Optional(port()),
  /** Ports that differ from the Service's `targetPort`; the others are as the Service says. */
  ports: list(closed({ port: port(), targetPort: port() }), { maxItems: 64 }),
  weight: integer(0, 1_000_000, { default: 1 }),
  network: Type.Optional(text('node-name')),
  locality: closed(
    { region: Type.Optional(text('node-name')), zone: Type.Optional(text('node-name')) },
    { default: {} },
  ),
  state: oneOf(['ready', 'draining', 'unready'], { default: 'ready' }),
});

export type ServiceInstanceSpec = Static<typeof schema>;

export const serviceInstance = defineKind({
  name: 'ServiceInstance',
  schema,
  example: {
    service: 'ledger',
    addresses: ['10.1.2.3', 'fd00::3'],
    transport: 'tls',
    identity: 'spiffe://mesh.local/ns/bank/sa/ledger',
    ports: [{ port: 5432, targetPort: 6432 }],
    weight: 2,
    network: 'office',
    locality: { region: 'eu', zone: 'eu-1' },
    state: 'ready',
  },
  check(spec, report) {
    refuseTwins(spec.ports, ['ports'], 'port', (each) => each.port, report);
    if (spec.transport !== 'plain' && spec.identity === undefined) {
      report(['transport'], `transport ${spec.transport} needs an 'identity'`);
    }
    if (spec.transport === 'link' && spec.linkPort === undefined) {
      report(['transport'], "transport link needs a 'linkPort'");
    }
    if (spec.transport !== 'link' && spec.linkPort !== undefined) {
      report(['linkPort'], `only transport link has a link port, this one is ${spec.transport}`);
    }
  },
});
