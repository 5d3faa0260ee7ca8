/** Sidecars without agent or pilot: files made offline by `heddle pilot build`, identities from files. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { hopConfig } from '../../../bench/subject/static.ts';
import type { IdentityBundle } from '../../../mesh/bootstrap.ts';
import { formatStaticConfig } from '../../../proto/static-config.ts';
import { createTestMesh } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, freePorts } from '../../support/free-port.ts';
import { ask, startApp } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { heddle } from '../../support/mesh/mesh.ts';
import { type RunningProcess, runProcess, startProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

interface Offline {
  readonly folder: string;
  /** Builds a workload's file by the command and runs its sidecar; answers its way in and its process. */
  run(
    workload: string,
    identity: IdentityBundle,
    linkPort: number,
  ): Promise<{ port: number; sidecar: RunningProcess }>;
}

async function offline(t: TestContext, appPort: number, ordersLink: number): Promise<Offline> {
  const folder = tempFolder(t);
  writeFileSync(
    join(folder, 'mesh.yaml'),
    `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: test, labels: { app: web } }
spec: { calls: [{ service: orders, localPort: ${await freePort()} }], accessLog: all, via: true }
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders, namespace: test, labels: { app: orders } }
spec: { ports: [{ name: http, port: 80, targetPort: ${appPort} }], via: true }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: test }
spec: { ports: [{ port: 80 }] }
---
apiVersion: heddle/v1
kind: ServiceInstance
metadata: { name: orders-1, namespace: test }
spec:
  service: orders
  addresses: [127.0.0.1]
  identity: spiffe://mesh.test/ns/test/sa/orders
  transport: link
  linkPort: ${ordersLink}
  ports: [{ port: 80, targetPort: 80 }]
`,
  );
  return {
    folder,
    async run(workload, identity, linkPort) {
      const own = join(folder, workload, String(linkPort));
      mkdirSync(own, { recursive: true });
      writeFileSync(join(own, 'key.pem'), identity.privateKey, { mode: 0o600 });
      writeFileSync(join(own, 'chain.pem'), identity.certificateChain);
      writeFileSync(join(own, 'trust.pem'), identity.trustBundle);
      const [outbound, admin] = await freePorts(2);
      const file = join(own, 'sidecar.json');
      const ports = [
        '--outbound-port',
        `${outbound}`,
        '--admin-port',
        `${admin}`,
        '--link-port',
        `${linkPort}`,
      ];
      const where = ['--trust-domain', 'mesh.test', '--host', '127.0.0.1', '--identity', own, '-o', file];
      const flags = ['-f', join(folder, 'mesh.yaml'), '--workload', `test/${workload}`, ...where, ...ports];
      const built = await runProcess(t, { args: [...heddle, 'pilot', 'build', ...flags] });
      assert.equal(built.code, 0, built.stderr);
      const sidecar = await startProcess(t, {
        args: [...heddle, 'sidecar', 'run', '--config', file, '--print-ready'],
      });
      await sidecar.printed(/"ready":true/, 30_000);
      return { port: outbound ?? 0, sidecar };
    },
  };
}

describe('sidecars from files', () => {
  it('built offline carry a request over mTLS, and refuse a certificate of another mesh with the reason at both ends', async (t) => {
    const app = await startApp(t);
    const ordersLink = await freePort();
    const { run } = await offline(t, app.port, ordersLink);
    const mine = await createTestMesh();
    const orders = await run('orders', await mine.bundle('orders'), ordersLink);
    const web = await run('web', await mine.bundle('web'), await freePort());
    const answer = await ask(web.port, { host: 'orders', path: '/list' });
    assert.equal(`${answer.status} ${answer.body}`, '200 GET /list 0');
    // Each sidecar names itself, by the version in which the message came.
    assert.equal(app.seen[0]?.headers.via, '1.1 heddle, 2 heddle');
    assert.equal(answer.headers.via, '1.1 heddle, 2 heddle');

    assert.deepEqual(await web.sidecar.stop(), { code: 0, signal: null });

    // A stranger with a good name under a root of its own, who trusts this mesh.
    const theirs = await createTestMesh();
    const stranger = await run(
      'web',
      { ...(await theirs.bundle('web')), trustBundle: mine.trustBundle },
      await freePort(),
    );
    const refused = await ask(stranger.port, { host: 'orders', path: '/list' });
    assert.equal(refused.status, 503);
    assert.match(refused.body, /INADEQUATE_SECURITY, .*certificate/);
    await eventually(() => /"reason":"[^"]+".*"caller refused"/.exec(orders.sidecar.stderr));
    await eventually(() => /"status":503,.*"detail":"[^"]*certificate/.exec(stranger.sidecar.stdout), {
      what: stranger.sidecar.tail(),
    });
    assert.equal(app.seen.length, 1);

    for (const { sidecar } of [orders, stranger]) {
      assert.deepEqual(await sidecar.stop(), { code: 0, signal: null });
    }
  });

  it('end when they are told to before they serve', async (t) => {
    const [listen = 0, upstream = 0, outbound = 0, admin = 0] = await freePorts(4);
    const host = '127.0.0.1';
    const config = hopConfig({ host, port: listen }, { host, port: upstream }, { outbound, admin });
    const file = join(tempFolder(t), 'sidecar.json');
    writeFileSync(file, formatStaticConfig(config));
    const sidecar = await startProcess(t, { args: [...heddle, 'sidecar', 'run', '--config', file] });
    // The admin page opens first of all.
    await eventually(() => isOpen(admin), { everyMs: 1 });
    sidecar.signal('SIGTERM');
    assert.deepEqual(await sidecar.exited, { code: 0, signal: null });
  });
});

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
