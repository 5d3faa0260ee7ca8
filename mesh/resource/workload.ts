/** A program that runs in the mesh: where, how it is started, what it serves and what it calls. */
import { type Static, Type } from 'typebox';
import { limitProblem } from '../limits.ts';
import { isOpaque } from '../model.ts';
import { durationMs } from './duration.ts';
import { defineKind, type Report, refuseTwins } from './kind.ts';
import {
  anyText,
  closed,
  integer,
  list,
  numberTable,
  oneOf,
  optionalTable,
  port,
  table,
  text,
} from './schema.ts';

const workloadPort = closed({
  name: Type.Optional(text('dns-label')),
  /** The number by which the mesh knows it. */
  port: port(),
  /** Where left out, the first bytes of each connection tell. */
  protocol: oneOf(['http', 'http2', 'grpc', 'tcp', 'tls', 'detect'], { default: 'detect' }),
  /** Of `tcp` and `tls`: connections may ride together on a link. */
  shared: Type.Boolean({ default: false }),
  /** Where the program itself listens; where left out the agent chooses, or takes `port`. */
  targetPort: Type.Optional(port()),
});

const call = closed({
  /** `orders`, or `orders.shop` in another namespace. */
  service: text('dns-name'),
  /** Where left out, the Service's only HTTP port, else 80, else its first. */
  port: Type.Optional(port()),
  localPort: Type.Optional(port()),
});

const readiness = closed({
  /** Ready once this port accepts, */
  port: Type.Optional(port()),
  /** or once this answers 2xx or 3xx, */
  http: Type.Optional(closed({ path: text('absolute-path', { default: '/' }), port: port() })),
  /** or once this says by gRPC's health service that it serves: one service, or the server as a whole. */
  grpc: Type.Optional(
    closed({ port: port(), service: Type.String({ maxLength: 127, pattern: '^[\\w.]*$', default: '' }) }),
  ),
  interval: text('duration', { default: '1s' }),
  timeout: text('duration', { default: '2s' }),
  /** So many failures in a row make it unready. */
  failures: integer(1, 100, { default: 3 }),
});

const restart = closed(
  {
    baseDelay: text('duration', { default: '500ms' }),
    maxDelay: text('duration', { default: '30s' }),
    /** After so long without a fall the delay starts over. */
    stableAfter: text('duration', { default: '30s' }),
  },
  { default: {} },
);

const schema = closed({
  /** Where it runs: on this node, */
  node: Type.Optional(text('node-name')),
  /** or on every node with these labels. */
  nodeSelector: optionalTable('label-key', 'label-value'),
  /** How many on each such node. */
  replicas: integer(0, 64, { default: 1 }),
  /** Program and first arguments; empty where somebody else starts it. */
  command: list(anyText()),
  args: list(anyText()),
  env: table('env-name'),
  cwd: Type.Optional(text('absolute-path')),
  user: Type.Optional(text('node-name')),
  /** The account in its SPIFFE name; the Workload's own name where left out. */
  account: Type.Optional(text('node-name')),
  ports: list(workloadPort, { maxItems: 64 }),
  calls: list(call),
  readiness: Type.Optional(readiness),
  restart,
  accessLog: oneOf(['none', 'errors', 'sampled', 'all'], { default: 'errors' }),
  /** Its sidecar names itself in `Via` of every message (RFC 9110 §7.6.3). */
  via: Type.Boolean({ default: false }),
  /** Bounds of its sidecars by name (`http2.plainStreams`); what is left out keeps its default. */
  sidecarLimits: numberTable(),
});

export type WorkloadSpec = Static<typeof schema>;
export type WorkloadPort = Static<typeof workloadPort>;

export const workload = defineKind({
  name: 'Workload',
  nameFormat: 'dns-label',
  schema,
  example: {
    nodeSelector: { disk: 'fast' },
    replicas: 2,
    command: ['node', 'main.js'],
    args: ['--verbose'],
    env: { LEVEL: 'info' },
    cwd: '/srv/orders',
    user: 'orders',
    account: 'orders',
    ports: [
      { name: 'http', port: 8080, protocol: 'http', targetPort: 3000 },
      { name: 'feed', port: 7000, protocol: 'tcp', shared: true },
    ],
    calls: [{ service: 'pricing' }, { service: 'ledger.bank', port: 5432, localPort: 5432 }],
    readiness: { http: { path: '/ready', port: 8080 }, interval: '1s', timeout: '2s', failures: 3 },
    restart: { baseDelay: '500ms', maxDelay: '30s', stableAfter: '1m' },
    accessLog: 'errors',
    via: true,
    sidecarLimits: { 'http1.maxHeadBytes': 65_536, 'http2.plainStreams': 250 },
  },
  check(spec, report) {
    if (spec.node !== undefined && spec.nodeSelector !== undefined) {
      report(['nodeSelector'], "either 'node' or 'nodeSelector' says where it runs, not both");
    }
    checkPorts(spec, report);
    checkReadiness(spec, report);
    for (const [name, value] of Object.entries(spec.sidecarLimits)) {
      const problem = limitProblem(name, value);
      if (problem !== undefined) report(['sidecarLimits', name], problem);
    }
    const { baseDelay, maxDelay } = spec.restart;
    if ((durationMs(baseDelay) ?? 0) > (durationMs(maxDelay) ?? 0)) {
      report(['restart', 'baseDelay'], `${baseDelay} is longer than maxDelay ${maxDelay}`);
    }
    spec.calls.forEach(({ service }, index) => {
      if (!callShape.test(service)) {
        report(
          ['calls', index, 'service'],
          `expected NAME or NAME.NAMESPACE, got ${JSON.stringify(service)}`,
        );
      }
    });
    refuseTwins(spec.calls, ['calls'], 'localPort', (each) => each.localPort, report);
    refuseTwins(spec.calls, ['calls'], 'call of', (each) => `${each.service}:${each.port ?? ''}`, report);
  },
});

const callShape = /^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})?$/;

function checkPorts(spec: WorkloadSpec, report: Report): void {
  refuseTwins(spec.ports, ['ports'], 'port', (each) => each.port, report);
  refuseTwins(spec.ports, ['ports'], 'name', (each) => each.name, report);
  spec.ports.forEach((each, index) => {
    if (each.shared && !isOpaque(each.protocol)) {
      report(
        ['ports', index, 'shared'],
        `only ports of protocol tcp or tls are shared, this one is ${each.protocol}`,
      );
    }
  });
}

function checkReadiness(spec: WorkloadSpec, report: Report): void {
  if (spec.readiness === undefined) return;
  const { port: byPort, http, grpc } = spec.readiness;
  const ways = [byPort, http?.port, grpc?.port].filter((each) => each !== undefined);
  if (ways.length !== 1) report(['readiness'], "expected one of 'port', 'http' and 'grpc'");
  const [probed] = ways;
  if (probed !== undefined && !spec.ports.some((each) => each.port === probed)) {
    report(['readiness'], `port ${probed} is not among the ports`);
  }
}
