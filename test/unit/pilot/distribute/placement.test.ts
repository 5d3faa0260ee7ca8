/** What a Workload says of its sidecars, from the pilot over both wires to the sidecar's bootstrap. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Bootstrap } from '../../../../mesh/bootstrap.ts';
import { planInstance } from '../../../../node-agent/plan/instance-plan.ts';
import { placementOf } from '../../../../pilot/distribute/placement.ts';
import { bootstrapFromWire, bootstrapToWire } from '../../../../proto/bootstrap.ts';
import { decodePlacement, encodePlacement } from '../../../../proto/placement.ts';
import { nodeOf, worldOf } from '../../../support/world.ts';

const workload = (more: string) => `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: shop }
spec:
  node: n1
  command: [serve]
${more}
`;

/** The bootstrap of the only sidecar on node n1. */
function bootstrapOf(yaml: string): Bootstrap {
  const world = worldOf(yaml, { nodes: new Map([['n1', nodeOf('n1')]]) });
  const [placed] = decodePlacement(encodePlacement(placementOf(world, 'n1'))).workloads;
  assert.ok(placed);
  const settings = {
    node: 'n1',
    stateDir: '/state',
    addresses: ['10.0.0.1'],
    loopback: ['127.0.0.1'],
    heddle: ['heddle'],
    env: {},
    allowShortLifetimes: false,
  };
  const { bootstrap } = planInstance(placed, 0, { outbound: 20_000, link: 20_001 }, settings);
  return bootstrapFromWire(bootstrapToWire(bootstrap), 'bootstrap', (problem) => {
    throw new Error(JSON.stringify(problem));
  });
}

describe('a workload on its way to its sidecar', () => {
  it('takes its limits along', () => {
    const { limits } = bootstrapOf(
      workload('  sidecarLimits: { http2.plainStreams: 250, http2.resets.burst: 9 }'),
    );
    assert.deepEqual(limits, { 'http2.plainStreams': 250, 'http2.resets.burst': 9 });
  });

  it('has none where it says none', () => {
    assert.equal('limits' in bootstrapOf(workload('')), false);
  });
});
