import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Endpoint, Snapshot } from '../../../../mesh/model.ts';
import { findDestination } from '../../../../sidecar/transparent/destinations.ts';
import { describePair } from '../../../support/static-pair.ts';

/** The caller's snapshot of a pair, with its endpoints changed. */
async function snapshotWith(changes: Partial<Endpoint>): Promise<Snapshot> {
  const ports = [
    { port: 80, appPort: 1, protocol: 'http' },
    { port: 90, appPort: 1, protocol: 'tcp' },
  ] as const;
  const { snapshot } = (await describePair({ ports })).caller;
  const sets = [...snapshot.endpoints.values()].map((set) => ({
    ...set,
    endpoints: set.endpoints.map((one) => ({ ...one, ...changes })),
  }));
  return { ...snapshot, endpoints: new Map(sets.map((set) => [set.cluster, set])) };
}

const service = { namespace: 'test', name: 'shop' };

describe('findDestination', () => {
  it('knows a service by the addresses of its endpoints and the ports they serve', async () => {
    const snapshot = await snapshotWith({ addresses: ['10.0.0.1', '2001:DB8:0::1'], port: 15443 });
    const http = { service, port: 80, protocol: 'http' };
    assert.deepEqual(findDestination(snapshot, { address: '10.0.0.1', port: 80 }), http);
    assert.deepEqual(findDestination(snapshot, { address: '2001:db8::1', port: 80 }), http);
    assert.deepEqual(findDestination(snapshot, { address: '10.0.0.1', port: 90 }), {
      service,
      port: 90,
      protocol: 'tcp',
    });
    assert.equal(findDestination(snapshot, { address: '10.0.0.1', port: 15443 }), undefined, 'a link port');
    assert.equal(findDestination(snapshot, { address: '10.0.0.2', port: 80 }), undefined);
  });

  it('knows what is reached without a link by the port where it is reached', async () => {
    const snapshot = await snapshotWith({ addresses: ['10.0.0.1'], port: 8080, transport: 'plain' });
    assert.equal(findDestination(snapshot, { address: '10.0.0.1', port: 8080 })?.port, 80);
  });

  it('knows no service that it has no routes for', async () => {
    const snapshot = await snapshotWith({ addresses: ['10.0.0.1'] });
    const without = { ...snapshot, services: new Map() };
    assert.equal(findDestination(without, { address: '10.0.0.1', port: 80 }), undefined);
  });
});
