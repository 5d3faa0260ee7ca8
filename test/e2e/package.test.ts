/** What is published: built, packed, installed in an empty folder without a registry, and run from there. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, dirname, join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { hopConfig } from '../../bench/subject/static.ts';
import { formatStaticConfig } from '../../proto/static-config.ts';
import { defer, type Scope, suiteScope } from '../support/cleanup.ts';
import { freePorts } from '../support/free-port.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { runProcess, startProcess } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

guardLeaks();

const env = {
  PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
  NODE_OPTIONS: undefined,
  NODE_PATH: undefined,
};
const maxInstalledBytes = 25 * 2 ** 20;

describe('the published package', () => {
  const file = suiteScope();
  let folder = '';

  before(async () => {
    const build = tempFolder(file);
    folder = tempFolder(file);
    const dist = join(build, 'dist');
    await succeeds(file, process.execPath, ['deploy/build/build.ts', '--out', dist]);
    const packed = await succeeds(file, 'npm', ['pack', '--json', '--pack-destination', build], dist);
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    const flags = ['--offline', '--no-audit', '--no-fund'];
    await succeeds(file, 'npm', ['install', ...flags, join(build, filename)], folder);
  });

  it('brings nothing beside itself, and is small', () => {
    const names = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'));
    assert.deepEqual(names, ['heddle']);
    const bytes = bytesIn(join(folder, 'node_modules'));
    assert.ok(bytes < maxInstalledBytes, `${bytes} bytes installed`);
  });

  it('tells its version and what it can do', async (t) => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    assert.equal((await heddle(t, '--version')).trim(), version);
    const help = await heddle(t, '--help');
    for (const word of ['sidecar', 'agent', 'pilot']) assert.match(help, new RegExp(`\\b${word}\\b`));
    assert.match(await heddle(t, 'sidecar', 'run', '--help'), /--config/);
    assert.match(await heddle(t, 'agent', 'run', '--help'), /--pilot/);
    assert.match(await heddle(t, 'pilot', 'serve', '--help'), /store/i);
  });

  it('carries the types of the model', async (t) => {
    writeFileSync(
      join(folder, 'use.mts'),
      `import { type Snapshot, serviceKey } from 'heddle';
       export const name = (snapshot: Snapshot) => [...snapshot.services.keys()].includes(serviceKey({ namespace: 'a', name: 'b' }));`,
    );
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', ''];
    const tsc = join(process.cwd(), 'node_modules', '.bin', 'tsc');
    await succeeds(t, tsc, [...flags, '--allowImportingTsExtensions', join(folder, 'use.mts')], folder);
  });

  it('carries a request through a sidecar', async (t) => {
    const app = createServer((_request, response) => response.end('from the application'));
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    defer(t, async () => {
      app.close();
      app.closeAllConnections();
      await once(app, 'close');
    });
    const { port: appPort } = app.address() as { port: number };
    const [listen = 0, outbound = 0, admin = 0] = await freePorts(3);
    const host = '127.0.0.1';
    const config = hopConfig({ host, port: listen }, { host, port: appPort }, { outbound, admin });
    const configFile = join(tempFolder(t), 'sidecar.json');
    writeFileSync(configFile, formatStaticConfig(config));
    const sidecar = await startProcess(t, {
      command: program(),
      args: ['sidecar', 'run', '--config', configFile, '--print-ready'],
      env,
      cwd: folder,
    });
    await sidecar.printed(/"ready":true/);
    const response = await fetch(`http://${host}:${listen}/`, { headers: { connection: 'close' } });
    assert.equal(await response.text(), 'from the application');
    assert.deepEqual(await sidecar.stop(), { code: 0, signal: null });
  });

  const program = () => join(folder, 'node_modules', '.bin', 'heddle');

  function heddle(t: TestContext, ...args: string[]): Promise<string> {
    return succeeds(t, program(), args, folder);
  }
});

async function succeeds(t: Scope, command: string, args: string[], cwd?: string): Promise<string> {
  const options = { command, args, env, withinMs: 180_000, ...(cwd === undefined ? {} : { cwd }) };
  const result = await runProcess(t, options);
  assert.equal(result.code, 0, `${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

function bytesIn(path: string): number {
  const stat = lstatSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0);
}
