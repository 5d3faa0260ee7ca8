/**
 * A name that callers use and the workloads behind it. `selector` and `ports` are those of a Kubernetes Service:
 * the selector looks at the labels of Workloads in the same namespace.
 */
import { type Static, Type } from 'typebox';
import { defineKind, refuseTwins } from './kind.ts';
import { closed, list, oneOf, port, table, text } from './schema.ts';

export const servicePort = closed({
  name: Type.Optional(text('dns-label')),
  port: port(),
  /** The Workload's port, by number or name; `port` where it is left out. */
  targetPort: Type.Optional(Type.Unsafe<number | string>({ type: ['integer', 'string'] })),
  /** What is spoken; where left out, what the Workload's port says, else `detect`. `TCP` is Kubernetes' and says nothing. */
  protocol: Type.Optional(oneOf(['http', 'http2', 'grpc', 'tcp', 'tls', 'detect', 'TCP'])),
  appProtocol: Type.Optional(
    oneOf([
      'http',
      'http2',
      'grpc',
      'tcp',
      'tls',
      'detect',
      'https',
      'kubernetes.io/h2c',
      'kubernetes.io/ws',
      'kubernetes.io/wss',
    ]),
  ),
});

const schema = closed({
  selector: table('label-key', 'label-value'),
  ports: list(servicePort, { minItems: 1, maxItems: 64 }),
});

export type ServiceSpec = Static<typeof schema>;
export type ServicePort = Static<typeof servicePort>;

export const service = defineKind({
  name: 'Service',
  nameFormat: 'dns-label',
  schema,
  example: {
    selector: { app: 'orders' },
    ports: [
      { name: 'web', port: 80, targetPort: 'http', protocol: 'http' },
      { name: 'rpc', port: 9000, targetPort: 9001, appProtocol: 'grpc' },
    ],
  },
  check(spec, report) {
    refuseTwins(spec.ports, ['ports'], 'port', (each) => each.port, report);
    refuseTwins(spec.ports, ['ports'], 'name', (each) => each.name, report);
    spec.ports.forEach(({ targetPort }, index) => {
      const isFine = typeof targetPort !== 'number' || (targetPort >= 1 && targetPort <= 65_535);
      if (!isFine)
        report(['ports', index, 'targetPort'], 'expected a port from 1 to 65535 or the name of one');
    });
  },
});
