/** `heddle pilot serve` as a process: it says where it is, ends in order, and says in one line why it cannot start. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { defer } from '../../support/cleanup.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type RunningProcess, runProcess, startProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const heddle = ['--disable-warning=ExperimentalWarning', 'bin/heddle.mjs'];
const free = ['--listen', '127.0.0.1:0', '--join-listen', '127.0.0.1:0', '--http', '127.0.0.1:0'];

async function serve(t: TestContext, folder: string, ...flags: string[]): Promise<RunningProcess> {
  const args = [...heddle, 'pilot', 'serve', '--data-dir', folder, '--print-ready', ...free, ...flags];
  return await startProcess(t, { args });
}

/** A port that somebody else has. */
async function takenPort(t: TestContext): Promise<number> {
  // It takes connections and says nothing, as a store that hangs would.
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  defer(t, () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** That it ends with 1 and one line on standard error, which has all of `words`. */
async function assertRefused(
  t: TestContext,
  flags: readonly string[],
  words: readonly string[],
): Promise<void> {
  const folder = join(tempFolder(t), 'pilot');
  const pilot = await serve(t, folder, '--log-level', 'error', ...flags);
  assert.deepEqual(await pilot.exited, { code: 1, signal: null });
  const [line, ...more] = pilot.stderr.trimEnd().split('\n');
  assert.deepEqual(more, []);
  for (const word of words) assert.ok(line?.includes(word), `'${word}' in: ${line}`);
  assert.equal(pilot.stdout, '');
}

describe('heddle pilot serve', () => {
  it('says where it listens, keeps its secrets private, and ends with 0 on SIGTERM', async (t) => {
    const folder = join(tempFolder(t), 'pilot');
    const pilot = await serve(t, folder);
    const [line] = await pilot.printed(/\{"ready":true.*\}/);
    const ready = JSON.parse(line) as { pid: number; grpcPort: number; joinPort: number; http: string };
    assert.equal(ready.pid, pilot.pid);
    assert.ok(ready.grpcPort > 0 && ready.joinPort > 0);
    const client = JSON.parse(readFileSync(join(folder, 'client.json'), 'utf8')) as {
      url: string;
      token: string;
    };
    assert.equal(client.url, ready.http);
    const status = await fetch(`${client.url}/v1/status`, {
      headers: { authorization: `Bearer ${client.token}`, connection: 'close' },
    });
    assert.equal(status.status, 200);
    await status.body?.cancel();
    for (const name of ['client.json', 'api-token', 'ca-key', 'pilot-identity.json']) {
      assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
    }
    assert.deepEqual(await pilot.stop(), { code: 0, signal: null });
  });

  it('begins a new epoch where it is told to, and no other time', async (t) => {
    const folder = join(tempFolder(t), 'pilot');
    const epochOf = async (...flags: string[]): Promise<number> => {
      const pilot = await serve(t, folder, ...flags);
      await pilot.printed(/\{"ready":true.*\}/);
      const args = [...heddle, 'pilot', 'status', '--data-dir', folder, '-o', 'json'];
      const { stdout } = await runProcess(t, { args });
      pilot.signal('SIGTERM');
      await pilot.exited;
      return (JSON.parse(stdout) as { version: { epoch: number } }).version.epoch;
    };
    const first = await epochOf();
    assert.equal(await epochOf(), first);
    const second = await epochOf('--new-epoch');
    assert.ok(second > first, `${second} after ${first}`);
    assert.equal(await epochOf(), second);
  });

  it('refuses a port that is taken, whichever it is', async (t) => {
    const port = await takenPort(t);
    for (const flag of ['--listen', '--join-listen', '--http']) {
      await assertRefused(t, [flag, `127.0.0.1:${port}`], [`127.0.0.1:${port}`, 'taken', 'choose another']);
    }
  });

  it('refuses a store that does not answer', async (t) => {
    const port = await takenPort(t);
    const flags = ['--store', 'etcd', '--etcd-endpoints', `http://127.0.0.1:${port}`];
    await assertRefused(t, flags, ['etcd', `http://127.0.0.1:${port}`, 'does not answer']);
  });

  it('refuses files it cannot read and folders it cannot have', async (t) => {
    const folder = tempFolder(t);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    await assertRefused(t, ['--ca-key-file', join(folder, 'none')], [join(folder, 'none'), 'no secret']);
    await assertRefused(t, ['--http-cert', join(folder, 'none'), '--http-key', file], [join(folder, 'none')]);
    await assertRefused(t, ['--data-dir', join(file, 'pilot')], [file, '--data-dir']);
  });

  it('refuses an API in plaintext beyond loopback, and lifetimes that cannot be meant', async (t) => {
    await assertRefused(t, ['--http', '0.0.0.0:0'], ['TLS']);
    await assertRefused(t, ['--leaf-lifetime', '10s'], ['--allow-short-lifetimes']);
  });
});

describe('heddle', () => {
  it('tells its version and its help without loading a program', async (t) => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    const told = await startProcess(t, { args: [...heddle, '--version'] });
    assert.deepEqual(await told.exited, { code: 0, signal: null });
    assert.equal(told.stdout, `${version}\n`);
    const help = await startProcess(t, { args: [...heddle, '--help'] });
    assert.deepEqual(await help.exited, { code: 0, signal: null });
    for (const word of ['sidecar', 'agent', 'pilot', 'Examples:'])
      assert.ok(help.stdout.includes(word), word);
  });

  it('refuses a program that it does not have', async (t) => {
    const wrong = await startProcess(t, { args: [...heddle, 'pilott'] });
    assert.deepEqual(await wrong.exited, { code: 1, signal: null });
    assert.match(wrong.stderr, /unknown command 'pilott'/);
  });
});
