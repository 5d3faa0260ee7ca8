import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Bootstrap } from '../../../../mesh/bootstrap.ts';
import type { AgentStatus, InstanceStatusLine } from '../../../../node-agent/control.ts';
import { interceptedPorts, targetFromStatus } from '../../../../node-agent/intercept/target.ts';

const ports = { outboundPort: 15010, inboundPort: 15011, ownPorts: [15443], appPorts: [8080] };

function line(id: string, intercepted: InstanceStatusLine['intercepted'] = ports): InstanceStatusLine {
  return {
    id,
    namespace: 'shop',
    workload: 'orders',
    index: 0,
    state: 'ready',
    reason: '',
    addresses: [],
    linkPort: 15443,
    ports: [],
    features: [],
    restarts: 0,
    sidecarPid: 11,
    appPid: null,
    identity: '',
    certificateEndsMs: null,
    proxy: 'http://127.0.0.1:20000',
    intercepted,
  };
}

function status(...instances: InstanceStatusLine[]): AgentStatus {
  return { node: 'n1', pid: 1, pilot: null, instances };
}

describe('targetFromStatus', () => {
  it('finds the only instance of a workload, and one of several by its index', () => {
    assert.deepEqual(targetFromStatus(status(line('shop/orders.0@n1')), 'shop/orders'), {
      ports,
      sidecarPid: 11,
      appPid: undefined,
    });
    const two = status(line('shop/orders.0@n1'), line('shop/orders.1@n1'));
    assert.equal(targetFromStatus(two, 'shop/orders.1').ports, ports);
    assert.throws(
      () => targetFromStatus(two, 'shop/orders'),
      /2 instances of shop\/orders run here; name one of them: shop\/orders\.0, shop\/orders\.1/,
    );
  });

  it('says which workload may have been meant', () => {
    assert.throws(
      () => targetFromStatus(status(line('shop/orders.0@n1')), 'shop/ordres'),
      /node n1 runs no workload shop\/ordres; did you mean shop\/orders\?/,
    );
  });

  it('says what to do where the sidecar has no ports for it', () => {
    assert.throws(
      () => targetFromStatus(status(line('shop/orders.0@n1', null)), 'shop/orders'),
      /start the agent with --transparent/,
    );
  });

  it('says why what could not be started has none', () => {
    const refused = { ...line('shop/orders.0@n1', null), proxy: '', reason: 'there is no user "shop"' };
    assert.throws(
      () => targetFromStatus(status(refused), 'shop/orders'),
      /shop\/orders cannot be started on this node: there is no user "shop"/,
    );
  });
});

describe('interceptedPorts', () => {
  it('names the ports that rules speak of', () => {
    const bootstrap: Bootstrap = {
      instance: 'shop/orders.0@n1',
      link: { hosts: ['10.0.0.1'], port: 15443 },
      outbound: { hosts: ['127.0.0.1'], port: 15001 },
      localPorts: [],
      apps: [
        { port: 80, appHost: '127.0.0.1', appPort: 8080, plain: { hosts: ['10.0.0.1'], port: 15080 } },
        { port: 81, appHost: '127.0.0.1', appPort: 8081, plain: undefined },
      ],
      admin: { port: 15000 },
      accessLogFile: undefined,
      allowShortLifetimes: false,
    };
    assert.equal(interceptedPorts(bootstrap), undefined);
    const transparent = { outboundPort: 15010, inboundPort: 15011, outboundPolicy: 'allow_any' } as const;
    assert.deepEqual(interceptedPorts({ ...bootstrap, transparent }), {
      outboundPort: 15010,
      inboundPort: 15011,
      ownPorts: [15443, 15080],
      appPorts: [8080, 8081],
    });
  });
});
