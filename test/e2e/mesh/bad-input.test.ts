/** What wrong input gets: messages with the place, answers with the reason, one line and an exit code; nothing by halves. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { defer } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, freePorts } from '../../support/free-port.ts';
import { ask } from '../../support/http-app.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { heddle, serviceYaml, startMesh, workloadYaml } from '../../support/mesh/mesh.ts';
import { runProcess, startProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const web = 'shop/web.0@n1';
const freePortFlags = ['--listen', '127.0.0.1:0', '--join-listen', '127.0.0.1:0', '--http', '127.0.0.1:0'];

describe('a resource that is wrong', () => {
  it('three mistakes get three messages with line and column, exit code 1, and nothing is stored', async (t) => {
    const mesh = await startMesh(t, []);
    const wrong =
      serviceYaml('good') +
      serviceYaml('bad')
        .replace('port: 80', 'prot: 80')
        .replace('selector', 'selektor')
        .replace('namespace: shop', 'namespace: Shop!');
    const file = mesh.file(wrong);
    const { code, stdout, stderr } = await mesh.cli('apply', '-f', file);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    const lines = stderr.trimEnd().split('\n');
    for (const line of lines) assert.match(line, /^\S+\.yaml:\d+:\d+: /);
    assert.ok(
      lines.some((line) => line.includes('selektor') && line.includes('selector')),
      stderr,
    );
    assert.ok(
      lines.some((line) => line.includes('prot') && line.includes('port')),
      stderr,
    );
    assert.ok(
      lines.some((line) => line.includes('Shop!')),
      stderr,
    );
    assert.match((await mesh.cli('get', 'services', '-A')).stderr, /there is no Service/);
  });
});

describe('a request that leads nowhere', () => {
  it('gets 500 NC with service and route for a missing backend, 404 NR with names for an unknown host', async (t) => {
    const mesh = await startMesh(t, ['n1']);
    await mesh.apply(
      [workloadYaml('web', { node: 'n1', calls: ['api'] }), serviceYaml('api'), serviceYaml('apis')].join(''),
    );
    const { code, stderr } = await mesh.apply(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: astray, namespace: shop }
spec:
  parentRefs: [{ group: heddle, kind: Service, name: api }]
  rules: [{ backendRefs: [{ group: heddle, kind: Service, name: ghost, port: 80 }] }]
`);
    assert.equal(code, 0);
    assert.match(stderr, /^warning: HED0101 HTTPRoute shop\/astray: .*ghost/m);
    await mesh.ready(web);
    const port = mesh.proxy(web);
    const lost = await eventually(async () => {
      const answer = await ask(port, { host: 'api.shop' });
      return answer.status === 500 ? answer : undefined;
    });
    assert.match(lost.body, /shop\/ghost/);
    assert.match(lost.body, /shop\/astray/);
    const unknown = await ask(port, { host: 'apy.shop' });
    assert.equal(unknown.status, 404);
    assert.match(unknown.body, /did you mean .*api/);
    const described = await mesh.good('describe', 'httproute', 'astray', '-n', 'shop');
    assert.match(described.stdout, /^Conditions:\n {2}HED0101 /m);
    await eventually(() => {
      const log = mesh.log(web, 'access.log');
      return /"status":500,.*"flags":"NC"/.test(log) && /"status":404,.*"flags":"NR"/.test(log);
    });
  });
});

describe('a program that cannot start', () => {
  it('agent: says in one line which file, port or pilot it is, and what to do', async (t) => {
    const folder = tempFolder(t);
    const file = join(folder, 'file');
    writeFileSync(file, 'not a token');
    const nobody = `127.0.0.1:${await freePort()}`;
    const run = (...flags: string[]) => agentRun(t, ...flags, '--join-timeout', '0');
    const fresh = () => join(folder, `state-${readdirSync(folder).length}`);
    await assertOneLine(run('--state-dir', join(file, 'state'), '--pilot', nobody), [file]);
    await assertOneLine(
      run('--state-dir', fresh(), '--pilot', nobody, '--token-file', join(folder, 'none')),
      [join(folder, 'none')],
    );
    await assertOneLine(run('--state-dir', fresh(), '--pilot', nobody, '--token-file', file), ['token']);
    await assertOneLine(run('--state-dir', fresh()), ['--pilot', '--token']);
    const token = 'heddle1.AAAA';
    await assertOneLine(run('--state-dir', fresh(), '--pilot', nobody, '--token', token), ['token']);
  });

  it('sidecar: says in one line which file or port it is', async (t) => {
    const folder = tempFolder(t);
    const run = (config: string) =>
      runProcess(t, { args: [...heddle, 'sidecar', 'run', '--config', config, '--log-level', 'error'] });
    await assertOneLine(run(join(folder, 'none.json')), [join(folder, 'none.json')]);
    const half = join(folder, 'half.json');
    writeFileSync(half, '{ "protocol": {');
    await assertOneLine(run(half), [half]);

    const [outbound, admin] = await freePorts(2);
    const config = join(folder, 'web.json');
    writeFileSync(
      join(folder, 'web.yaml'),
      'apiVersion: heddle/v1\nkind: Workload\nmetadata: { name: web }\nspec: {}\n',
    );
    const ports = ['--outbound-port', `${outbound}`, '--admin-port', `${admin}`];
    const flags = ['-f', join(folder, 'web.yaml'), '--workload', 'web', '-o', config, ...ports];
    const built = await runProcess(t, { args: [...heddle, 'pilot', 'build', ...flags] });
    assert.equal(built.code, 0, built.stderr);
    await takePort(t, outbound ?? 0);
    await assertOneLine(run(config), [
      `127.0.0.1:${outbound}`,
      'another process has this port',
      'choose another',
    ]);
  });

  it('build: a file that cannot be written or read is one line, and nothing is written', async (t) => {
    const folder = tempFolder(t);
    mkdirSync(join(folder, 'out'));
    const web = join(folder, 'web.yaml');
    writeFileSync(
      web,
      'apiVersion: heddle/v1\nkind: Workload\nmetadata: { name: web }\nspec: { prots: [] }\n',
    );
    const build = (...flags: string[]) => runProcess(t, { args: [...heddle, 'pilot', 'build', ...flags] });
    const target = join(folder, 'out', 'web.json');
    await assertOneLine(build('-f', web, '--workload', 'web', '-o', target), [
      'web.yaml:4',
      'prots',
      'ports',
    ]);
    await assertOneLine(build('-f', join(folder, 'none.yaml'), '--workload', 'web'), ['none.yaml']);
    assert.deepEqual(readdirSync(join(folder, 'out')), []);
  });
});

/** A disk of its own size takes a mount, and that takes root. */
const skip = process.getuid?.() === 0 ? false : 'NOT CHECKED: a full disk, for only root may mount one';

describe('a full disk', () => {
  it('is told in one line and leaves nothing half-written', { skip }, async (t) => {
    const folder = smallDisk(t, 64);
    const data = join(folder, 'pilot');
    mkdirSync(data, { mode: 0o700 });
    writeFileSync(join(folder, 'ballast'), Buffer.alloc(60 * 1024));
    const serve = await runProcess(t, {
      args: [...heddle, 'pilot', 'serve', '--data-dir', data, ...freePortFlags, '--log-level', 'error'],
    });
    assert.equal(serve.code, 1);
    assert.match(serve.stderr, /^heddle pilot: [^\n]*(?:full|no space)[^\n]*\n$/i);
    for (const name of readdirSync(data)) {
      // Whole files only: what is JSON reads as JSON, and no temporary file is left.
      assert.doesNotMatch(name, /tmp/);
      if (name.endsWith('.json')) JSON.parse(readFileSync(join(data, name), 'utf8'));
    }
  });

  it('refuses a change whole, and takes it once there is room', { skip }, async (t) => {
    const data = smallDisk(t, 1024);
    const args = ['pilot', 'serve', '--data-dir', data, ...freePortFlags, '--log-level', 'error'];
    const pilot = await startProcess(t, { args: [...heddle, ...args, '--print-ready'] });
    await pilot.printed(/"ready":true/, 30_000);
    const file = join(tempFolder(t), 'services.yaml');
    writeFileSync(file, services());
    const cli = (...flags: string[]) =>
      runProcess(t, { args: [...heddle, 'pilot', ...flags, '--data-dir', data] });
    const ballast = join(data, 'ballast');
    fillDisk(ballast);
    const full = await cli('apply', '-f', file);
    assert.equal(full.code, 1);
    assert.match(full.stderr, /^[^\n]*pilot\.db[^\n]*full; make room[^\n]*\n$/);
    assert.match((await cli('get', 'services', '-A')).stderr, /there is no Service/);
    rmSync(ballast);
    assert.equal((await cli('apply', '-f', file)).code, 0);
    const { stdout } = await cli('get', 'services', '-n', 'shop', '-o', 'json');
    assert.equal((JSON.parse(stdout) as { items: unknown[] }).items.length, 300);
  });
});

function services(): string {
  return Array.from({ length: 300 }, (_, index) => serviceYaml(`s${index}`)).join('');
}

function agentRun(t: TestContext, ...flags: string[]) {
  return runProcess(t, {
    args: [...heddle, 'agent', 'run', '--node', 'n1', '--log-level', 'error', ...flags],
  });
}

/** That it ends with a code that is not 0 and one line, which has all of `words`. */
async function assertOneLine(ended: ReturnType<typeof runProcess>, words: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await ended;
  assert.notEqual(code, 0, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /^[^\n]+\n$/);
  for (const word of words) assert.ok(stderr.includes(word), `'${word}' in: ${stderr}`);
}

async function takePort(t: TestContext, port: number): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  defer(t, () => new Promise((resolve) => server.close(() => resolve())));
}

/** A folder that is a file system of so many KiB. */
function smallDisk(t: TestContext, kib: number): string {
  const folder = tempFolder(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k,mode=0700`, 'tmpfs', folder]);
  defer(t, () => void execFileSync('umount', [folder]));
  return folder;
}

/** Writes to this file until there is no room. */
function fillDisk(file: string): void {
  const chunk = Buffer.alloc(4096);
  const fd = openSync(file, 'w');
  try {
    for (;;) if (writeSync(fd, chunk) < chunk.length) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}
