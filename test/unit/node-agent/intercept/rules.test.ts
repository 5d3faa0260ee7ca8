import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parsePrefix } from '../../../../node-agent/intercept/intercept.ts';
import { loadRules } from '../../../../node-agent/intercept/nft.ts';
import { mergeRanges, type PortRange, parsePortRanges } from '../../../../node-agent/intercept/ports.ts';
import {
  type Interception,
  interceptionRules,
  removalRules,
  tableName,
} from '../../../../node-agent/intercept/rules.ts';

const plain: Interception = {
  workload: 'shop/orders-v2',
  outboundPort: 15010,
  inboundPort: 15011,
  sidecarUid: 1337,
  scope: { kind: 'namespace' },
  ownPorts: [15443, 15010, 15011],
  exclusions: { outboundPorts: [], inboundPorts: [], outboundAddresses: [] },
};

describe('interceptionRules', () => {
  it('replaces the whole table in one go, and takes a namespace whole', () => {
    assert.equal(
      interceptionRules(plain),
      `table inet heddle_shop.orders-v2
delete table inet heddle_shop.orders-v2
table inet heddle_shop.orders-v2 {
	comment "heddle: shop/orders-v2"

	chain output {
		type nat hook output priority -100; policy accept;
		meta skuid 1337 return
		fib daddr type local return
		ip6 daddr fe80::/10 return
		meta l4proto tcp redirect to :15010
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		iifname "lo" return
		fib daddr type != local return
		tcp dport { 15010-15011, 15443 } return
		meta l4proto tcp redirect to :15011
	}
}
`,
    );
  });

  it('takes one user and his ports where others share the namespace', () => {
    const rules = interceptionRules({ ...plain, scope: { kind: 'user', uid: 1000, ports: [8080, 7000] } });
    assert.match(rules, /meta skuid 1337 return\n\t\tmeta skuid != 1000 return\n/);
    assert.match(rules, /tcp dport \{ 7000, 8080 \} redirect to :15011/);
    assert.doesNotMatch(rules, /l4proto tcp redirect to :15011/);
  });

  it('takes nothing inbound from a user who serves nothing', () => {
    const rules = interceptionRules({ ...plain, scope: { kind: 'user', uid: 1000, ports: [] } });
    assert.doesNotMatch(rules, /prerouting/);
  });

  it('leaves out what is excluded, before anything is taken', () => {
    const rules = interceptionRules({
      ...plain,
      exclusions: {
        outboundPorts: parsePortRanges('9000-9010,22,9005-9020'),
        inboundPorts: parsePortRanges('22'),
        outboundAddresses: ['10.0.0.0/8', 'fd00::/8'],
      },
    });
    const [output = '', prerouting = ''] = rules.split('chain prerouting');
    const order = [
      'ip daddr 10.0.0.0/8 return',
      'ip6 daddr fd00::/8 return',
      'tcp dport { 22, 9000-9020 } return',
    ];
    assert.deepEqual(
      order.map((line) => output.indexOf(line)).map((at) => at > 0 && at < output.indexOf('redirect')),
      [true, true, true],
    );
    assert.match(prerouting, /tcp dport \{ 22 \} return\n\t\tmeta l4proto tcp redirect/);
  });

  it('is removed also where there is nothing', () => {
    assert.equal(
      removalRules('shop/orders'),
      'table inet heddle_shop.orders\ndelete table inet heddle_shop.orders',
    );
    assert.equal(tableName('shop/orders.1'), 'heddle_shop.orders.1');
  });
});

describe('parsePortRanges', () => {
  it('reads ports and ranges', () => {
    assert.deepEqual(parsePortRanges('22, 9000-9010'), [
      { first: 22, last: 22 },
      { first: 9000, last: 9010 },
    ]);
  });

  it('refuses what is none, by name', () => {
    for (const bad of ['', '0', '65536', '9-8', '1-', '-1', '1-2-3', 'ssh', '22,,23', '1;2', '22 return']) {
      assert.throws(() => parsePortRanges(bad), /expected a port or a range/, bad);
    }
  });
});

describe('mergeRanges', () => {
  const port = fc.integer({ min: 1, max: 200 });
  const range = fc
    .tuple(port, port)
    .map(([a, b]): PortRange => ({ first: Math.min(a, b), last: Math.max(a, b) }));
  const has = (ranges: readonly PortRange[], one: number) =>
    ranges.some(({ first, last }) => one >= first && one <= last);

  it('holds the same ports in order and without overlap', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), port, (ranges, one) => {
        const merged = mergeRanges(ranges);
        assert.equal(has(merged, one), has(ranges, one));
        merged.slice(1).forEach(({ first }, at) => {
          assert.ok(first > (merged[at]?.last ?? 0) + 1);
        });
      }),
    );
  });
});

describe('parsePrefix', () => {
  it('takes addresses and prefixes of both families', () => {
    for (const good of ['10.0.0.1', '10.0.0.0/8', 'fd00::1', 'fd00::/8', '::/0']) {
      assert.equal(parsePrefix(good), good);
    }
  });

  it('refuses what nftables would read otherwise', () => {
    for (const bad of [
      '',
      '10.0.0.0/33',
      'fd00::/129',
      '10.0.0.0/8/8',
      '10.0.0.0/',
      'example.com',
      'fe80::1%eth0',
    ]) {
      assert.throws(() => parsePrefix(bad), /expected an address or a prefix/, bad);
    }
  });
});

describe('loadRules', () => {
  it('says what is missing, to root and to others', async () => {
    const run = { namespace: { kind: 'own' } as const, path: '/nonexistent' };
    const expected =
      process.geteuid?.() === 0 ? /there is no nft on this host: install nftables/ : /only root may change/;
    await assert.rejects(loadRules('', run), expected);
  });
});
