import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlacedWorkload } from '../../../../mesh/placement.ts';
import { type NodeSettings, planInstance, portRequests } from '../../../../node-agent/plan/instance-plan.ts';

const settings: NodeSettings = {
  node: 'n1',
  stateDir: '/state',
  addresses: ['10.0.0.1', 'fd00::1'],
  loopback: ['127.0.0.1', '::1'],
  heddle: ['node', 'heddle.ts'],
  env: { PATH: '/bin', LC_ALL: 'C', AWS_SECRET: 'x' },
  allowShortLifetimes: false,
};

const web: PlacedWorkload = {
  namespace: 'shop',
  workload: 'web',
  account: 'front',
  replicas: 1,
  command: ['serve', '--port=$(PORT)', '$(UNKNOWN)', '; rm -rf $(PATH)'],
  env: { ORDERS: 'http://$(HEDDLE_ORDERS_ADDR)/' },
  cwd: undefined,
  user: undefined,
  ports: [{ name: 'http', port: 8080, protocol: 'http' }],
  calls: [
    { service: { namespace: 'shop', name: 'orders' }, port: 80, protocol: 'http', localPort: 9000 },
    { service: { namespace: 'other', name: 'orders' }, port: 81, protocol: 'http', localPort: undefined },
  ],
  readiness: undefined,
};

const ports = {
  outbound: 20_000,
  link: 20_001,
  'plain/8080': 20_002,
  'app/8080': 20_003,
  'call/shop/orders:80': 9000,
  'call/other/orders:81': 20_004,
};

describe('instance plan', () => {
  it('asks for a port for each way in and out, and for the wanted ones by number', () => {
    assert.deepEqual(
      portRequests(web).map(({ purpose, wanted }) => [purpose, wanted]),
      [
        ['outbound', undefined],
        ['link', undefined],
        ['plain/8080', undefined],
        ['app/8080', undefined],
        ['call/shop/orders:80', 9000],
        ['call/other/orders:81', undefined],
      ],
    );
    const silent = portRequests({ ...web, ports: [], calls: [] });
    assert.deepEqual(
      silent.map(({ purpose }) => purpose),
      ['outbound'],
    );
  });

  it('starts an application where its Workload says, or in a folder of its own', () => {
    const cwdOf = (workload: PlacedWorkload) => {
      const { spec } = planInstance(workload, 0, ports, settings).processes.app ?? {};
      return [spec?.cwd, spec?.cwdKind];
    };
    assert.deepEqual(cwdOf(web), ['/state/work/shop.web.0', 'own']);
    assert.deepEqual(cwdOf({ ...web, cwd: '/srv/web' }), ['/srv/web', 'given']);
  });

  it("keeps the agent's login from processes of other users", () => {
    const env = { PATH: '/bin', HOME: '/root', USER: 'root', LOGNAME: 'root', SHELL: '/bin/sh' };
    const homes = (user: string | undefined, sidecarUser?: string) => {
      const { sidecar, app } = planInstance({ ...web, user }, 0, ports, {
        ...settings,
        env,
        sidecarUser,
      }).processes;
      return [sidecar.spec.env['HOME'], app?.spec.env['HOME']];
    };
    assert.deepEqual(homes(undefined), ['/root', '/root']);
    assert.deepEqual(homes('web'), [undefined, undefined]);
    assert.deepEqual(homes(undefined, 'mesh'), [undefined, '/root']);
  });

  it('puts what the sidecar listens on into its bootstrap', () => {
    const { bootstrap } = planInstance(web, 0, ports, settings);
    assert.equal(bootstrap.instance, 'shop/web.0@n1');
    assert.deepEqual(bootstrap.link, { hosts: ['10.0.0.1', 'fd00::1'], port: 20_001 });
    assert.deepEqual(bootstrap.outbound, { hosts: ['127.0.0.1', '::1'], port: 20_000 });
    assert.deepEqual(bootstrap.apps, [
      {
        port: 8080,
        appHost: '127.0.0.1',
        appPort: 20_003,
        plain: { hosts: ['10.0.0.1', 'fd00::1'], port: 20_002 },
      },
    ]);
    assert.deepEqual(
      bootstrap.localPorts.map(({ localPort }) => localPort),
      [9000, 20_004],
    );
  });

  it('fills in variables word by word, with no shell, and leaves unknown ones as they are', () => {
    const { app } = planInstance(web, 0, ports, settings).processes;
    assert.deepEqual(app?.spec.command, ['serve', '--port=20003', '$(UNKNOWN)', '; rm -rf /bin']);
    const env = new Map(Object.entries(app?.spec.env ?? {}));
    assert.equal(env.get('ORDERS'), 'http://127.0.0.1:9000/');
    assert.equal(env.get('LC_ALL'), 'C');
    assert.equal(env.has('AWS_SECRET'), false);
    // The namespace that was declared first has the short name.
    assert.equal(env.get('HEDDLE_ORDERS_ADDR'), '127.0.0.1:9000');
    assert.equal(env.get('HEDDLE_ORDERS_81_ADDR'), '127.0.0.1:20004');
  });

  it('takes the application where it listens by its own will', () => {
    const fixed = {
      ...web,
      ports: [{ name: 'http', port: 8080, protocol: 'http' as const, targetPort: 3000 }],
    };
    assert.ok(!portRequests(fixed).some(({ purpose }) => purpose === 'app/8080'));
    assert.equal(planInstance(fixed, 0, ports, settings).bootstrap.apps[0]?.appPort, 3000);
    const external = planInstance({ ...web, command: [] }, 0, ports, settings);
    assert.equal(external.processes.app, undefined);
    assert.deepEqual(external.processes.probes.app.probe, { kind: 'port', host: '127.0.0.1', port: 8080 });
  });

  it('probes the application as it was asked to, where the application really listens', () => {
    const probeFor = (readiness: PlacedWorkload['readiness']) =>
      planInstance({ ...web, readiness }, 0, ports, settings).processes.probes.app.probe;
    const at = { host: '127.0.0.1', port: 20_003 };
    assert.deepEqual(probeFor({ kind: 'http', port: 8080, path: '/ready' }), {
      kind: 'http',
      ...at,
      path: '/ready',
    });
    assert.deepEqual(probeFor({ kind: 'grpc', port: 8080, service: 'shop.Orders', timeoutMs: 500 }), {
      kind: 'grpc',
      ...at,
      service: 'shop.Orders',
      timeoutMs: 500,
    });
  });

  it('starts anew only what a change touches', () => {
    const hashes = (workload: PlacedWorkload, changed: Partial<typeof ports> = {}) => {
      const { sidecar, app } = planInstance(workload, 0, { ...ports, ...changed }, settings).processes;
      return [sidecar.hash, app?.hash];
    };
    const [sidecar, app] = hashes(web);
    assert.deepEqual(hashes(web), [sidecar, app]);
    const [sameSidecar, otherApp] = hashes({ ...web, env: {} });
    assert.equal(sameSidecar, sidecar);
    assert.notEqual(otherApp, app);
    const [otherSidecar, sameApp] = hashes(web, { link: 29_999 });
    assert.notEqual(otherSidecar, sidecar);
    assert.equal(sameApp, app);
    const limited = { ...web, limits: { 'http2.plainStreams': 7 } };
    assert.deepEqual(planInstance(limited, 0, ports, settings).bootstrap.limits, limited.limits);
    const [limitedSidecar, unlimitedApp] = hashes(limited);
    assert.notEqual(limitedSidecar, sidecar);
    assert.equal(unlimitedApp, app);
  });

  it('opens ports for intercepted connections only where the agent was told to', () => {
    assert.equal(planInstance(web, 0, ports, settings).bootstrap.transparent, undefined);
    const taking: NodeSettings = { ...settings, transparent: 'registry_only', sidecarUser: 'heddle' };
    const asked = portRequests(web, taking).map(({ purpose }) => purpose);
    assert.ok(asked.includes('transparent/outbound') && asked.includes('transparent/inbound'));
    const allocated = { ...ports, 'transparent/outbound': 20_010, 'transparent/inbound': 20_011 };
    const { bootstrap, processes } = planInstance({ ...web, user: 'web' }, 0, allocated, taking);
    assert.deepEqual(bootstrap.transparent, {
      outboundPort: 20_010,
      inboundPort: 20_011,
      outboundPolicy: 'registry_only',
    });
    assert.deepEqual([processes.sidecar.spec.user, processes.app?.spec.user], ['heddle', 'web']);
  });
});
