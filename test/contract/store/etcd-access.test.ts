/** etcd behind TLS with client certificates, and behind a user and password. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import { type EtcdOptions, openEtcdStore } from '../../../pilot/store/etcd.ts';
import type { Store } from '../../../pilot/store/store.ts';
import { defer } from '../../support/cleanup.ts';
import { findEtcd, startEtcd } from '../../support/etcd-server.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { runProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { recordWatch } from '../../support/watch-record.ts';

guardLeaks({ settleMs: 10_000 });

/** Where it is 'true', an etcd that is not installed fails these tests instead of skipping them. */
const { CI: ci } = process.env;
const missing = findEtcd() === undefined && ci !== 'true' ? 'etcd is not installed' : false;

async function opened(t: TestContext, options: EtcdOptions): Promise<Store> {
  const store = await openEtcdStore(options);
  defer(t, () => store.close());
  return store;
}

async function usable(store: Store): Promise<void> {
  const record = recordWatch(store, 'a', (await store.list('')).revision + 1);
  const lease = await store.grantLease(30_000);
  await store.transact({ operations: [{ kind: 'put', key: 'a', value: Buffer.from('1'), lease: lease.id }] });
  await lease.keepAlive();
  await eventually(() => record.events.length === 1);
}

const isRefused = (thrown: unknown) =>
  thrown instanceof MeshError && ['denied', 'unavailable', 'deadline_exceeded'].includes(thrown.code);

describe('the etcd store', { skip: missing }, () => {
  it('speaks TLS and shows its certificate, and is refused without', async (t) => {
    const folder = tempFolder(t);
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const made = await runProcess(t, {
      command: 'openssl',
      args: [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...[
          '-subj',
          '/CN=test',
          '-addext',
          'subjectAltName=DNS:etcd.test,IP:127.0.0.1',
          '-keyout',
          key,
          '-out',
          cert,
        ],
      ],
    });
    assert.equal(made.code, 0, made.stderr);
    const { url } = await startEtcd(t, { cert, key });
    const tls = { ca: readFileSync(cert), cert: readFileSync(cert), key: readFileSync(key) };
    const serverName = 'etcd.test';
    await usable(await opened(t, { hosts: [url], tls: { ...tls, serverName } }));
    await assert.rejects(
      openEtcdStore({ hosts: [url], tls }),
      /name it, or give the name in its certificate/,
    );
    const misnamed = await opened(t, { hosts: [url], tls: { ...tls, serverName: 'other.test' } });
    await assert.rejects(misnamed.get('a', { deadlineMs: 2_000 }), isRefused);
    const stranger = await opened(t, { hosts: [url], tls: { ca: tls.ca, serverName } });
    await assert.rejects(stranger.get('a', { deadlineMs: 2_000 }), isRefused);
  });

  it('logs in by user and password, and is refused with a wrong one', async (t) => {
    const { url } = await startEtcd(t);
    const control = async (...args: string[]) => {
      const env = { ETCDCTL_API: '3' };
      const done = await runProcess(t, { command: 'etcdctl', args: ['--endpoints', url, ...args], env });
      assert.equal(done.code, 0, done.stderr);
    };
    await control('user', 'add', 'root:secret');
    await control('user', 'grant-role', 'root', 'root');
    await control('auth', 'enable');
    await usable(await opened(t, { hosts: [url], auth: { username: 'root', password: 'secret' } }));
    const stranger = await opened(t, { hosts: [url], auth: { username: 'root', password: 'guess' } });
    await assert.rejects(stranger.get('a', { deadlineMs: 2_000 }), isRefused);
    const nobody = await opened(t, { hosts: [url] });
    await assert.rejects(nobody.get('a', { deadlineMs: 2_000 }), isRefused);
  });
});
