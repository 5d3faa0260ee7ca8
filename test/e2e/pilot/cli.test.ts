import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { writeClientFile } from '../../../pilot/api/client-file.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { type PilotApi, pilotApi, serviceYaml } from '../../support/pilot-api.ts';
import { runProcess } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const program = join('test', 'support', 'programs', 'pilot-cli.ts');

interface Shell {
  readonly pilot: PilotApi;
  readonly folder: string;
  /** Writes a file into the test's folder and answers its path. */
  file(name: string, text: string): string;
  /** Runs `heddle pilot …` as a process. */
  run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }>;
}

async function shell(t: TestContext): Promise<Shell> {
  const pilot = await pilotApi(t);
  const folder = tempFolder(t);
  const env = { HEDDLE_PILOT: pilot.api.url, HEDDLE_TOKEN: pilot.token, HEDDLE_DATA: folder };
  return {
    pilot,
    folder,
    file(name, text) {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    },
    run: (...args) => runProcess(t, { args: [program, ...args], env }),
  };
}

const workloadYaml = `apiVersion: heddle/v1
kind: Workload
metadata:
  name: orders
  namespace: shop
  labels: { app: orders }
spec:
  node: n1
  command: [node, main.js]
  ports:
    - { name: http, port: 80 }
`;

const routeYaml = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: orders
  namespace: shop
spec:
  parentRefs:
    - { group: '', kind: Service, name: orders }
  rules:
    - backendRefs:
        - { name: orders, port: 80 }
        - { name: missing, port: 80 }
`;

describe('heddle pilot apply', () => {
  it('says what was created, configured and unchanged, and warns of what leads nowhere', async (t) => {
    const { run, file, pilot } = await shell(t);
    const all = file('all.yaml', [serviceYaml('orders'), workloadYaml, routeYaml].join('---\n'));
    const dry = await run('apply', '-f', all, '--dry-run');
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /^Service shop\/orders created \(dry run\)$/m);
    assert.equal(pilot.live.current.version.revision, 0);
    const first = await run('apply', '-f', all);
    assert.equal(first.code, 0, first.stderr);
    assert.deepEqual(first.stdout.trim().split('\n'), [
      'Service shop/orders created',
      'Workload shop/orders created',
      'HTTPRoute shop/orders created',
    ]);
    assert.match(first.stderr, /^warning: HED\d{4} HTTPRoute shop\/orders: .*missing/m);
    file('all.yaml', [serviceYaml('orders', 81), workloadYaml].join('---\n'));
    const second = await run('apply', '-f', all);
    assert.deepEqual(second.stdout.trim().split('\n'), [
      'Service shop/orders configured',
      'Workload shop/orders unchanged',
    ]);
    const pruned = await run('apply', '-f', all, '--prune');
    assert.match(pruned.stdout, /^HTTPRoute shop\/orders deleted$/m);
  });

  it('counts the warnings of a large set beyond the first twenty', async (t) => {
    const { run, file } = await shell(t);
    const names = Array.from({ length: 30 }, (_, n) => `lonely-${n}`);
    const path = file('many.yaml', names.map((name) => serviceYaml(name)).join('---\n'));
    const { code, stdout, stderr } = await run('apply', '-f', path);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim().split('\n').length, 30);
    const lines = stderr.trim().split('\n');
    assert.equal(lines.length, 21);
    assert.match(lines[20] ?? '', /^warning: 10 more/);
  });

  it('refuses a file with three mistakes by three lines, and stores nothing', async (t) => {
    const { run, file, pilot } = await shell(t);
    const bad = serviceYaml('web', 70_000)
      .replace('selector', 'selektor')
      .replace('namespace: shop', 'namespace: S!');
    const path = file('bad.yaml', `${serviceYaml('orders')}---\n${bad}`);
    const { code, stdout, stderr } = await run('apply', '-f', path);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    const lines = stderr.trim().split('\n');
    assert.equal(lines.length, 3, stderr);
    for (const line of lines) assert.match(line, /bad\.yaml:\d+:\d+: /);
    assert.ok(
      lines.some((line) => line.includes('bad.yaml:19:')),
      stderr,
    );
    assert.equal(pilot.live.current.version.revision, 0);
  });

  it('reads folders and standard input, and refuses a resource that stands in two files', async (t) => {
    const { run, folder, file, pilot } = await shell(t);
    mkdirSync(join(folder, 'mesh', 'deep'), { recursive: true });
    file('mesh/a.yaml', serviceYaml('a'));
    file(
      'mesh/deep/b.json',
      JSON.stringify({
        apiVersion: 'heddle/v1',
        kind: 'Service',
        metadata: { name: 'b' },
        spec: { ports: [{ port: 1 }] },
      }),
    );
    file('mesh/readme.txt', 'not a resource');
    assert.equal((await run('apply', '-f', join(folder, 'mesh'))).code, 0);
    assert.equal(pilot.live.current.resources.get('Service')?.size, 2);
    const twice = file('twice.yaml', serviceYaml('a'));
    const refused = await run('apply', '-f', twice, '-f', join(folder, 'mesh'));
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /a\.yaml: Service shop\/a is also in .*twice\.yaml/);
    const piped = await runProcess(t, {
      command: 'sh',
      args: [
        '-c',
        `"${process.execPath}" ${program} apply -f - < "$1"`,
        'sh',
        file('c.yaml', serviceYaml('c')),
      ],
      env: { HEDDLE_PILOT: pilot.api.url, HEDDLE_TOKEN: pilot.token },
    });
    assert.equal(piped.stdout, 'Service shop/c created\n', piped.stderr);
    assert.equal((await run('apply', '-f', join(folder, 'nothing.yaml'))).code, 1);
  });
});

describe('heddle pilot get, describe, delete', () => {
  it('shows what is there in every form, and takes its own YAML back', async (t) => {
    const { run, file, pilot } = await shell(t);
    await run(
      'apply',
      '-f',
      file('all.yaml', [serviceYaml('orders'), workloadYaml, routeYaml].join('---\n')),
    );
    const listed = await run('get', 'svc', '-n', 'shop');
    assert.match(listed.stdout, /^NAME +PORTS +SELECTS +AGE\norders +80 +app=orders +\d+s\n$/);
    assert.match((await run('get', 'Services', '-A')).stdout, /^NAMESPACE +NAME[^\n]+\nshop +orders /);
    assert.match((await run('get', 'httproutes', '-n', 'shop', '-o', 'wide')).stdout, /REVISION +LABELS/);
    const yaml = await run('get', 'httproute', 'orders', '-n', 'shop', '-o', 'yaml');
    const again = await run('apply', '-f', file('again.yaml', yaml.stdout));
    assert.match(again.stdout, /^HTTPRoute shop\/orders unchanged$/m);
    const json = JSON.parse((await run('get', 'workload', '-n', 'shop', '-o', 'json')).stdout);
    assert.equal(json.items[0].metadata.name, 'orders');
    assert.match((await run('get', 'svc')).stderr, /there is no Service in namespace default/);
    const missing = await run('get', 'svc', 'nothing');
    assert.deepEqual([missing.code, missing.stderr], [1, 'there is no Service default/nothing\n']);
    const unknown = await run('get', 'gizmo');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /there is no kind 'gizmo'; kinds are Service,/);
    const facts = { labels: {}, addresses: ['10.0.0.1'], network: '', locality: { region: '', zone: '' } };
    await pilot.reports.reportNode({ node: 'n1', bootId: 'b', ...facts }, 1);
    await pilot.reports.reportInstances({
      node: 'n1',
      bootId: 'b',
      sequence: 2,
      scope: 'all',
      gone: [],
      instances: [
        {
          id: 'shop/orders.0@n1',
          namespace: 'shop',
          workload: 'orders',
          index: 0,
          state: 'ready',
          reason: '',
          addresses: ['10.0.0.1'],
          linkPort: 15_008,
          ports: [],
          features: [],
          restarts: 0,
        },
      ],
    });
    await eventually(() => pilot.live.current.instances.size === 1);
    assert.match((await run('get', 'nodes')).stdout, /^n1 +alive +1 +10\.0\.0\.1$/m);
    const described = await run('describe', 'service', 'orders', '-n', 'shop');
    assert.equal(described.code, 0, described.stderr);
    assert.match(described.stdout, /^Routes:\n {2}HTTPRoute shop\/orders\n/m);
    assert.match(described.stdout, /^Workloads:\n {2}Workload shop\/orders\n/m);
    assert.match(described.stdout, /^ {2}shop\/orders\.0@n1 +ready +10\.0\.0\.1 +15008/m);
    const route = await run('describe', 'hr', 'orders', '-n', 'shop');
    assert.match(route.stdout, /^Conditions:\n {2}HED\d{4} [a-z-]+: /m);
    assert.match(route.stdout, /^Backends:\n {2}Service shop\/orders\n {2}Service shop\/missing\n/m);
    assert.match((await run('describe', 'node', 'n1')).stdout, /shop\/orders\.0@n1/);
  });

  it('deletes by name and by file, and says what is not there', async (t) => {
    const { run, file, pilot } = await shell(t);
    const path = file('two.yaml', [serviceYaml('a'), serviceYaml('b')].join('---\n'));
    await run('apply', '-f', path);
    const one = await run('delete', 'svc', 'a', '-n', 'shop');
    assert.deepEqual([one.code, one.stdout], [0, 'Service shop/a deleted\n']);
    const again = await run('delete', 'svc', 'a', '-n', 'shop');
    assert.deepEqual([again.code, again.stderr], [1, 'there is no Service shop/a\n']);
    const both = await run('delete', '-f', path);
    assert.deepEqual([both.code, both.stdout], [0, 'Service shop/b deleted\n']);
    assert.equal(pilot.live.current.resources.get('Service')?.size, 0);
    assert.equal((await run('delete', 'svc')).code, 2);
  });
});

describe('heddle pilot status and token', () => {
  it('show what each sidecar runs and refused, and print a token alone', async (t) => {
    const { run, pilot } = await shell(t);
    const version = { epoch: 7, revision: 3 };
    const problems = [{ path: 'clusters[0]', message: 'unknown balance' }];
    pilot.sidecars.push(
      { sidecar: 'shop/web.0@n1', node: 'n1', acked: version, pending: undefined, nack: undefined },
      {
        sidecar: 'shop/web.1@n1',
        node: 'n1',
        acked: undefined,
        pending: { version, withheld: 'lacks feature x', sinceMs: undefined },
        nack: { version, problems, atMs: Date.now() },
      },
    );
    const { stdout, code } = await run('status');
    assert.equal(code, 0);
    assert.match(stdout, /^shop\/web\.0@n1 +n1 +7\.3 +- +-$/m);
    assert.match(stdout, /^shop\/web\.1@n1 +n1 +- +7\.3 withheld: lacks feature x +7\.3, \ds ago$/m);
    assert.match(stdout, /^shop\/web\.1@n1: clusters\[0\]: unknown balance$/m);
    assert.equal(JSON.parse((await run('status', '-o', 'json')).stdout).sidecars.length, 2);
    const token = await run('token', 'create', '--node', 'n2', '--ttl', '1h');
    assert.equal(token.stdout, 'join-n2\n');
    assert.match(token.stderr, /^for node n2, once, until 2030-01-01T01:00:00/);
    assert.equal((await run('token', 'create', '--ttl', 'soon')).code, 2);
  });
});

describe('finding the pilot', () => {
  it('uses the file that the pilot of this machine left, and only for that pilot', async (t) => {
    const pilot = await pilotApi(t);
    const folder = tempFolder(t);
    const env = { HEDDLE_PILOT: undefined, HEDDLE_TOKEN: undefined, HEDDLE_DATA: undefined, HOME: folder };
    const bare = { ...env, XDG_DATA_HOME: undefined };
    writeClientFile(folder, { url: pilot.api.url, token: pilot.token });
    const found = await runProcess(t, { args: [program, 'status', '--data-dir', folder], env: bare });
    assert.equal(found.code, 0, found.stderr);
    const none = await runProcess(t, { args: [program, 'status'], env: bare });
    assert.equal(none.code, 2);
    assert.match(none.stderr, /^no pilot known: .* give --pilot URL or set HEDDLE_PILOT/);
    const other = `http://127.0.0.1:${await freePort()}`;
    const stranger = await runProcess(t, {
      args: [program, 'status', '--data-dir', folder, '--pilot', other],
      env: bare,
    });
    assert.equal(stranger.code, 2);
    assert.match(stranger.stderr, /no token for/);
  });

  it('checks the certificate of a pilot that listens with TLS', async (t) => {
    const folder = tempFolder(t);
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const made = await runProcess(t, {
      command: 'openssl',
      args: [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...['-subj', '/CN=pilot', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
      ],
    });
    assert.equal(made.code, 0, made.stderr);
    const tls = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
    const pilot = await pilotApi(t, { listen: { host: '127.0.0.1', port: 0, tls } });
    const env = { HEDDLE_PILOT: pilot.api.url, HEDDLE_TOKEN: pilot.token };
    const trusted = await runProcess(t, { args: [program, 'status', '--ca', cert], env });
    assert.equal(trusted.code, 0, trusted.stderr);
    const untrusted = await runProcess(t, { args: [program, 'status'], env });
    assert.equal(untrusted.code, 3);
    assert.match(untrusted.stderr, /^cannot reach the pilot at https:.*certificate/);
  });

  it('says in one line which pilot cannot be reached, or does not take the token', async (t) => {
    const { run, pilot } = await shell(t);
    const away = `http://127.0.0.1:${await freePort()}`;
    const unreachable = await run('get', 'svc', '--pilot', away);
    assert.equal(unreachable.code, 3);
    assert.match(
      unreachable.stderr,
      /^cannot reach the pilot at http:\/\/127\.0\.0\.1:\d+: nothing listens there; is it running\?.*\n$/,
    );
    const env = { HEDDLE_PILOT: pilot.api.url, HEDDLE_TOKEN: 'wrong' };
    const denied = await runProcess(t, { args: [program, 'get', 'svc'], env });
    assert.equal(denied.code, 1);
    assert.match(denied.stderr, /^the pilot at http.* does not take this token; .*\n$/);
  });
});
