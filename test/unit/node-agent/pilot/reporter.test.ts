import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstanceReport } from '../../../../mesh/placement.ts';
import { Reporter } from '../../../../node-agent/pilot/reporter.ts';
import type { NodeReport } from '../../../../proto/node-wire.ts';
import { programProtocol } from '../../../../proto/protocol.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const instance: InstanceReport = {
  id: 'shop/web.0@n1',
  namespace: 'shop',
  workload: 'web',
  index: 0,
  state: 'ready',
  reason: '',
  addresses: ['10.0.0.1'],
  linkPort: 20_000,
  ports: [],
  features: [],
  restarts: 0,
};
const facts = {
  node: 'n1',
  labels: {},
  addresses: ['10.0.0.1'],
  network: 'default',
  locality: { region: '', zone: '' },
  bootId: 'boot',
};

function bench(uptimeS = 10) {
  const clock = new FakeClock();
  const sent: NodeReport[] = [];
  const reporter = new Reporter({
    facts,
    clock,
    instances: () => [instance],
    restart: (id) => id === instance.id,
    uptimeS: () => uptimeS,
  });
  const open = () => reporter.connect({ config: () => {}, report: (report) => sent.push(report) });
  const kinds = () => sent.map(({ message }) => message.kind);
  return { clock, sent, reporter, open, kinds };
}

describe('reporter', () => {
  it('begins every stream with who it is, its facts and all instances', () => {
    const b = bench();
    b.reporter.changed(instance);
    assert.deepEqual(b.sent, []);
    b.open();
    assert.deepEqual(b.kinds(), ['hello', 'facts', 'instances']);
    b.reporter.changed({ ...instance, state: 'unready' });
    b.reporter.gone(instance.id);
    assert.deepEqual(b.kinds().slice(3), ['instance', 'gone']);
  });

  it('beats as often as the pilot asks, and not without a stream', () => {
    const b = bench();
    b.open();
    b.reporter.take({ kind: 'hello', protocol: programProtocol, heartbeatMs: 1000 });
    b.clock.advance(3000);
    assert.equal(b.kinds().filter((kind) => kind === 'heartbeat').length, 3);
    b.reporter.disconnect();
    b.clock.advance(10_000);
    assert.equal(b.kinds().filter((kind) => kind === 'heartbeat').length, 3);
    assert.equal(b.clock.pending, 0);
  });

  it('counts on where an earlier life of the agent in the same boot left off', () => {
    const [first, second] = [bench(10), bench(10.01)];
    first.open();
    for (let i = 0; i < 1000; i++) first.reporter.changed(instance);
    second.open();
    assert.ok((second.sent[0]?.sequence ?? 0) > (first.sent.at(-1)?.sequence ?? 0));
  });

  it('answers orders by their number', () => {
    const b = bench();
    b.open();
    b.reporter.take({ kind: 'restart', id: 1, instance: instance.id });
    b.reporter.take({ kind: 'restart', id: 2, instance: 'shop/no.0@n1' });
    b.reporter.take({ kind: 'drain', id: 3, instance: instance.id });
    const results = b.sent.flatMap(({ message }) =>
      message.kind === 'result' ? [[message.id, message.done]] : [],
    );
    assert.deepEqual(results, [
      [1, true],
      [2, false],
      [3, false],
    ]);
  });

  it('ends the conversation with a pilot of another protocol', () => {
    const b = bench();
    b.open();
    const protocol = { version: 99, features: [] };
    assert.throws(() => b.reporter.take({ kind: 'hello', protocol, heartbeatMs: 1 }), /protocol version 99/);
  });
});
