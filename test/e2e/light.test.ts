/** What a sidecar loads: nothing that the path does not need, until somebody asks for it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { formatStaticConfig } from '../../proto/static-config.ts';
import { ask, startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { startProcess } from '../support/processes.ts';
import { addressesOf, describePair } from '../support/static-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

guardLeaks();

const heavy = [
  '@grpc',
  'ajv',
  'yaml',
  '@peculiar',
  'reflect-metadata',
  'prom-client',
  'typebox',
  'etcd3',
  're2js',
];

describe('a sidecar', () => {
  it('loads only what its path needs, and prom-client at the first scrape', async (t) => {
    const folder = tempFolder(t);
    const loaded = join(folder, 'loaded.txt');
    const hook = join(folder, 'hook.mjs');
    writeFileSync(
      hook,
      `import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(loaded)}, url + '\\n'); return next(url, context); } });`,
    );
    const app = await startApp(t);
    const { mesh, caller, receiver } = await describePair({
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
    });
    const file = join(folder, 'web.json');
    const bundle = await mesh.bundle('web');
    writeFileSync(file, formatStaticConfig({ ...caller, identity: { kind: 'inline', bundle } }));
    const sidecar = await startProcess(t, {
      args: ['--import', hook, 'bin/heddle.mjs', 'sidecar', 'run', '--config', file, '--print-ready'],
    });
    await sidecar.printed(/"ready":true/);
    const { outboundPort, callerAdmin } = addressesOf(caller, receiver);
    assert.equal((await ask(outboundPort)).status, 503);
    const names = () => readFileSync(loaded, 'utf8').split('\n');
    const heavyOnes = () =>
      names().filter((url) => heavy.some((name) => url.includes(`/node_modules/${name}`)));
    assert.deepEqual(heavyOnes(), []);
    assert.ok(names().some((url) => url.includes('/sidecar/proxy/exchange.ts')));
    assert.equal((await ask(callerAdmin, { path: '/metrics' })).status, 200);
    assert.ok(heavyOnes().every((url) => url.includes('prom-client')));
    assert.ok(heavyOnes().length > 0);
  });
});
