/** Every message of every conversation arrives as it was sent. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ParseFailure } from '../../../kit/parse.ts';
import type { InstanceReport, Placement } from '../../../mesh/placement.ts';
import type { ConfigRequest, ConfigResponse } from '../../../proto/config-wire.ts';
import type { NodeMessage, NodeOrder } from '../../../proto/node-wire.ts';
import { decodePlacement, encodePlacement } from '../../../proto/placement.ts';
import * as rpc from '../../../proto/rpc.ts';
import {
  decodeSidecarMessage,
  encodeSidecarMessage,
  type SidecarMessage,
} from '../../../proto/sidecar-wire.ts';
import { ignoredFields } from '../../../proto/unknown.ts';

const protocol = { version: 1, features: ['match.regex'] };
const version = { epoch: 2, revision: 2 ** 40 };
const hash = 'ab'.repeat(32);
const sidecar = 'shop/web.0@n1';
const problems = [{ path: 'service[shop/web]', message: 'bad' }];
const service = { namespace: 'shop', name: 'orders' };

const placement: Placement = {
  version: 9,
  trustDomain: 'mesh',
  workloads: [
    {
      namespace: 'shop',
      workload: 'web',
      account: 'web',
      replicas: 2,
      command: ['node', 'web.js'],
      env: { A: '1' },
      cwd: '/srv',
      user: undefined,
      ports: [{ name: 'http', port: 80, protocol: 'http', targetPort: 3000 }],
      calls: [{ service, port: 80, protocol: 'grpc', localPort: undefined }],
      readiness: { kind: 'http', port: 80, path: '/ready', intervalMs: 1000, failures: 3 },
      restart: { baseMs: 500, maxMs: 30_000, stableMs: 60_000 },
      limits: { 'http2.plainStreams': 7 },
    },
  ],
};

const instance: InstanceReport = {
  id: sidecar,
  namespace: 'shop',
  workload: 'web',
  index: 0,
  state: 'unready',
  reason: 'starting',
  addresses: ['10.0.0.1'],
  linkPort: 15008,
  ports: [
    { port: 80, plainPort: undefined },
    { port: 81, plainPort: 8081 },
  ],
  features: ['x'],
  restarts: 3,
};

const requests: readonly ConfigRequest[] = [
  {
    kind: 'hello',
    protocol,
    node: 'n1',
    bootId: 'b',
    parts: [hash],
    endpoints: [{ cluster: 'shop/web:80', version: 3, hash }],
  },
  { kind: 'subscribe', sidecar, protocol, version, resolved: [service], manifestDigest: hash },
  { kind: 'subscribe', sidecar, protocol, version: undefined, resolved: [], manifestDigest: '' },
  { kind: 'unsubscribe', sidecar },
  { kind: 'ack', sidecar, push: 4, version },
  { kind: 'nack', sidecar, push: 4, version, problems },
  { kind: 'resolve', id: 5, sidecar, name: 'orders.shop' },
  { kind: 'want_endpoints', clusters: ['shop/web:80'] },
  { kind: 'want_parts', hashes: [hash] },
  { kind: 'endpoint_ack', push: 6 },
];

const responses: readonly ConfigResponse[] = [
  { kind: 'hello', protocol, pilot: 'p1' },
  { kind: 'parts', parts: [{ kind: 'policy', name: 'shop/a', hash, content: Uint8Array.of(1, 2) }] },
  {
    kind: 'endpoints',
    push: 2,
    update: {
      sets: [{ cluster: 'a/b:1', version: 1, endpoints: [] }],
      deltas: [{ cluster: 'a/b:2', base: 1, version: 2, upserts: [], removes: ['x'] }],
    },
  },
  { kind: 'manifest', sidecar, push: 3, manifest: { version, parts: [{ kind: 'self', name: 'a/b', hash }] } },
  { kind: 'resolved', id: 5, sidecar, answer: { kind: 'found', service } },
  { kind: 'resolved', id: 6, sidecar, answer: { kind: 'absent', suggestions: ['orders.shop'] } },
  { kind: 'placement', placement },
  { kind: 'trust', trustBundle: 'PEM' },
  { kind: 'refused', sidecar, reason: 'not placed here' },
];

const reports: readonly NodeMessage[] = [
  { kind: 'hello', protocol, node: 'n1', bootId: 'b' },
  {
    kind: 'facts',
    facts: {
      labels: { zone: 'a' },
      addresses: ['10.0.0.1'],
      network: 'lan',
      locality: { region: 'r', zone: 'z' },
    },
  },
  { kind: 'instances', instances: [instance] },
  { kind: 'instance', instance },
  { kind: 'gone', id: sidecar },
  { kind: 'heartbeat' },
  { kind: 'event', atMs: 1, instance: sidecar, reason: 'exited', message: 'code 1' },
  { kind: 'result', id: 1, done: true, message: '' },
];

const orders: readonly NodeOrder[] = [
  { kind: 'hello', protocol, heartbeatMs: 5000 },
  { kind: 'ack', sequence: 7 },
  { kind: 'restart', id: 1, instance: sidecar },
  { kind: 'drain', id: 2, instance: sidecar },
];

const sidecarMessages: readonly SidecarMessage[] = [
  { kind: 'hello', protocol, instance: sidecar },
  { kind: 'ack', push: 1, version },
  { kind: 'nack', push: 1, version, problems },
  { kind: 'resolve', id: 1, name: 'orders' },
  { kind: 'want_endpoints', clusters: ['a/b:1'] },
  { kind: 'status', state: 'ready' },
];

describe('messages between the programs', () => {
  it('arrive as they were sent', () => {
    for (const one of requests) {
      assert.deepEqual(rpc.configStream.requestDeserialize(rpc.configStream.requestSerialize(one)), one);
    }
    for (const one of responses) {
      const arrived = rpc.configStream.responseDeserialize(rpc.configStream.responseSerialize(one));
      assert.deepEqual(plain(arrived), plain(one));
    }
    for (const [sequence, message] of reports.entries()) {
      const one = { sequence, message };
      assert.deepEqual(rpc.nodeReport.requestDeserialize(rpc.nodeReport.requestSerialize(one)), one);
    }
    for (const one of orders) {
      assert.deepEqual(rpc.nodeReport.responseDeserialize(rpc.nodeReport.responseSerialize(one)), one);
    }
    for (const one of sidecarMessages) {
      assert.deepEqual(decodeSidecarMessage(encodeSidecarMessage(one)), one);
    }
    assert.deepEqual(decodePlacement(encodePlacement(placement)), placement);
    const workloads = placement.workloads.map((one) => ({
      ...one,
      readiness: { kind: 'grpc', port: 80, service: '', timeoutMs: 500 } as const,
    }));
    const byGrpc = { ...placement, workloads };
    assert.deepEqual(decodePlacement(encodePlacement(byGrpc)), byGrpc);
  });

  it('say what is wrong with them, by path', () => {
    const bad = rpc.configStream.requestSerialize({ kind: 'resolve', id: 1, sidecar: '', name: '' });
    assert.throws(
      () => rpc.configStream.requestDeserialize(bad),
      (error) => error instanceof ParseFailure && error.problems.length === 2,
    );
  });

  it('may be of a kind that only a newer peer knows', () => {
    const before = ignoredFields();
    assert.deepEqual(decodeSidecarMessage(Uint8Array.of(0x9a, 0x06, 0x00)), { kind: 'unknown' });
    assert.equal(ignoredFields(), before + 1);
  });
});

describe('the Certificates calls', () => {
  const certificate = { certificateChain: 'C', trustBundle: 'T', issuedMs: 1, notAfterMs: 2 };
  const csr = Uint8Array.of(1);

  it('arrive as they were sent', () => {
    const joinRequest = { protocol, token: 't', node: 'n1', csr };
    assert.deepEqual(
      plain(rpc.join.requestDeserialize(rpc.join.requestSerialize(joinRequest))),
      plain(joinRequest),
    );
    const joined = { protocol, certificate, pilotAddress: ':7443', trustDomain: 'mesh' };
    assert.deepEqual(rpc.join.responseDeserialize(rpc.join.responseSerialize(joined)), joined);
    const issue = { protocol, namespace: 'shop', workload: 'web', csr };
    const { issueWorkload, renewNode } = rpc;
    assert.deepEqual(
      plain(issueWorkload.requestDeserialize(issueWorkload.requestSerialize(issue))),
      plain(issue),
    );
    const renew = { protocol, csr };
    assert.deepEqual(plain(renewNode.requestDeserialize(renewNode.requestSerialize(renew))), plain(renew));
    for (const method of [issueWorkload, renewNode]) {
      const answer = { protocol, certificate };
      assert.deepEqual(method.responseDeserialize(method.responseSerialize(answer)), answer);
    }
  });
});

/** Byte arrays of every class look the same. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
