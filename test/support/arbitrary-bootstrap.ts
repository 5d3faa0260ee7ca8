/** fast-check arbitraries of what an agent tells a sidecar before any configuration. */
import fc from 'fast-check';
import type { Bootstrap } from '../../mesh/bootstrap.ts';

/** Plain objects, as decoders make them. */
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(fields, { noNullPrototype: true });
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const port = fc.integer({ min: 1, max: 65535 });
const listen = record({
  hosts: fc.array(fc.constantFrom('127.0.0.1', '::1', '10.1.2.3'), { minLength: 1, maxLength: 2 }),
  port: fc.integer({ min: 0, max: 65535 }),
});

const transparent = record({
  outboundPort: fc.integer({ min: 1, max: 40_000 }),
  inboundPort: fc.integer({ min: 40_001, max: 65_535 }),
  outboundPolicy: fc.constantFrom('allow_any' as const, 'registry_only' as const),
});

const limits = fc.record(
  {
    'http1.headMs': fc.integer({ min: 100, max: 600_000 }),
    'http2.plainStreams': fc.constantFrom(1, 65_536),
  },
  { noNullPrototype: true, requiredKeys: ['http1.headMs'] },
);

const always = record<Omit<Bootstrap, 'transparent' | 'limits'>>({
  instance: name,
  link: fc.option(listen, { nil: undefined }),
  outbound: listen,
  localPorts: fc.array(
    record({
      service: record({ namespace: name, name }),
      port,
      localPort: fc.integer({ min: 0, max: 65535 }),
    }),
    { maxLength: 2 },
  ),
  apps: fc.array(
    record({
      port,
      appHost: fc.constant('127.0.0.1'),
      appPort: port,
      plain: fc.option(listen, { nil: undefined }),
    }),
    { maxLength: 2 },
  ),
  admin: fc.oneof(record({ socket: name }), record({ port })),
  accessLogFile: fc.option(name, { nil: undefined }),
  allowShortLifetimes: fc.boolean(),
});

export const anyBootstrap: fc.Arbitrary<Bootstrap> = fc
  .tuple(always, fc.option(transparent), fc.option(limits))
  .map(([bootstrap, taken, set]) => ({
    ...bootstrap,
    ...(taken !== null && { transparent: taken }),
    ...(set !== null && { limits: set }),
  }));
