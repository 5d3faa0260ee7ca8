/** How callers treat a Service: timeouts, the one retry, balancing, limits. */
import { type Static, Type } from 'typebox';
import { durationMs } from './duration.ts';
import { defineKind } from './kind.ts';
import { closed, integer, oneOf, text } from './schema.ts';

const schema = closed({
  targetRef: closed({
    group: oneOf(['', 'heddle'], { default: '' }),
    kind: oneOf(['Service'], { default: 'Service' }),
    /** A Service of the same namespace. */
    name: text('dns-label'),
    /** One of its ports by name; all of them where it is left out. */
    sectionName: Type.Optional(text('dns-label')),
  }),
  /** `0s` is none, of `connect` the standard. */
  timeouts: closed(
    {
      connect: Type.Optional(text('duration')),
      /** The whole request, attempts included; a route's own timeout goes before. */
      request: Type.Optional(text('duration')),
      /** Without a byte either way. */
      idle: Type.Optional(text('duration')),
      /** How long the first bytes of a connection may stay out where they tell the protocol, 10ms to 5s. */
      detect: Type.Optional(text('duration')),
    },
    { default: {} },
  ),
  /** Only of a request that surely was not handled. */
  retry: closed({ attempts: Type.Optional(integer(0, 1)) }, { default: {} }),
  balance: oneOf(['roundRobin'], { default: 'roundRobin' }),
  limits: closed(
    {
      maxConnections: Type.Optional(integer(1, 1_000_000)),
      maxRequests: Type.Optional(integer(1, 1_000_000)),
    },
    { default: {} },
  ),
});

export type TrafficPolicySpec = Static<typeof schema>;

export const trafficPolicy = defineKind({
  name: 'TrafficPolicy',
  schema,
  example: {
    targetRef: { group: '', kind: 'Service', name: 'orders', sectionName: 'web' },
    timeouts: { connect: '500ms', request: '10s', idle: '1h', detect: '100ms' },
    retry: { attempts: 1 },
    balance: 'roundRobin',
    limits: { maxConnections: 100, maxRequests: 1000 },
  },
  check({ timeouts: { detect } }, report) {
    const ms = detect === undefined ? undefined : durationMs(detect);
    if (ms !== undefined && (ms < minDetectMs || ms > maxDetectMs)) {
      report(['timeouts', 'detect'], `expected 10ms to 5s, got ${detect}`);
    }
  },
});

const minDetectMs = 10;
const maxDetectMs = 5_000;
