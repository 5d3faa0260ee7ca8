import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Command } from 'commander';
import { addBuildCommand, type BuildFlags, runBuild } from '../../../../pilot/build/command.ts';
import { parseStaticConfig } from '../../../../proto/static-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'heddle-build-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const good = `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: shop, labels: { app: web } }
spec:
  ports: [{ name: http, port: 8080, targetPort: 3000 }]
  calls: [{ service: orders }, { service: ghost.bank, port: 5, localPort: 15100 }]
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { ports: [{ port: 80 }] }
---
apiVersion: heddle/v1
kind: ServiceInstance
metadata: { name: orders-1, namespace: shop }
spec: { service: orders, addresses: [127.0.0.1], ports: [{ port: 80, targetPort: 9001 }] }
---
apiVersion: heddle/v1
kind: PeerAuthentication
metadata: { name: open, namespace: shop }
spec: { mtls: { mode: PERMISSIVE } }
`;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function run(change: Partial<BuildFlags>): { code: number; out: string; err: string } {
  const written = { out: '', err: '' };
  const code = runBuild(
    {
      file: [],
      workload: 'web',
      trustDomain: 'mesh.local',
      host: ['0.0.0.0'],
      loopback: ['127.0.0.1'],
      outboundPort: 15_001,
      linkPort: 15_002,
      adminPort: 15_000,
      ...change,
    },
    {
      out: (text) => {
        written.out += text;
      },
      err: (text) => {
        written.err += text;
      },
    },
  );
  return { code, ...written };
}

describe('heddle pilot build', () => {
  it('prints a file from which the sidecar runs, with warnings beside it', () => {
    const { code, out, err } = run({ file: [file('good.yaml', good)] });
    assert.equal(code, 0);
    assert.match(
      err,
      /^warning: HED0112 Workload shop\/web: spec\.calls\[1\]: service bank\/ghost does not exist$/m,
    );
    const { bootstrap, identity, snapshot } = parseStaticConfig(out);
    assert.equal(bootstrap.instance, 'shop/web.0@local');
    assert.deepEqual(
      bootstrap.localPorts.map(({ service, localPort }) => [service.name, localPort]),
      [
        ['orders', 15_101],
        ['ghost', 15_100],
      ],
    );
    assert.deepEqual(bootstrap.apps, [
      { port: 8080, appHost: '127.0.0.1', appPort: 3000, plain: { hosts: ['0.0.0.0'], port: 15_200 } },
    ]);
    assert.deepEqual([identity.kind, bootstrap.link], ['none', undefined]);
    const [endpoint] = snapshot.endpoints.get('shop/orders:80')?.endpoints ?? [];
    assert.deepEqual(
      [endpoint?.addresses, endpoint?.port, endpoint?.transport],
      [['127.0.0.1'], 9001, 'plain'],
    );
  });

  it('serves links where it is given an identity', () => {
    const { out } = run({ file: [file('good.yaml', good)], identity: '/tls', node: 'one' });
    const { bootstrap, identity } = parseStaticConfig(out);
    assert.deepEqual(bootstrap.link, { hosts: ['0.0.0.0'], port: 15_002 });
    assert.equal(identity.kind === 'files' && identity.files.privateKey, '/tls/key.pem');
    assert.equal(bootstrap.instance, 'shop/web.0@one');
  });

  it('tells every mistake of every file by line and column, and prints nothing', () => {
    const one = file('one.yaml', 'apiVersion: heddle/v1\nkind: Servise\nmetadata: { name: a }\nspec: {}\n');
    const two = file(
      'two.yaml',
      `${good}---\napiVersion: heddle/v1\nkind: Service\nmetadata: { name: a }\nspec: { prots: [] }\n`,
    );
    const { code, out, err } = run({ file: [one, two, join(folder, 'gone.yaml')] });
    assert.equal(code, 1);
    assert.equal(out, '');
    const lines = err.trimEnd().split('\n');
    assert.equal(lines.length, 4);
    assert.match(lines[0] ?? '', /one\.yaml:2:7: kind: unknown kind 'Servise', did you mean 'Service'\?$/);
    assert.match(lines[1] ?? '', /two\.yaml:\d+:\d+: spec: missing field 'ports'$/);
    assert.match(
      lines[2] ?? '',
      /two\.yaml:\d+:9: spec\.prots: unknown field 'prots', did you mean 'ports'\?$/,
    );
    assert.match(lines[3] ?? '', /gone\.yaml: cannot be read: no such file or directory$/);
  });

  it('refuses a workload that is not there, and a name that is not enough', () => {
    const path = file('good.yaml', good);
    assert.match(run({ file: [path], workload: 'nobody' }).err, /no Workload nobody; there is: shop\/web/);
    const other = file(
      'other.yaml',
      'apiVersion: heddle/v1\nkind: Workload\nmetadata: { name: web }\nspec: {}\n',
    );
    assert.match(
      run({ file: [path, other] }).err,
      /several Workloads are called web: say shop\/web or default\/web/,
    );
    assert.equal(run({ file: [path, other], workload: 'default/web' }).code, 0);
  });

  it('refuses one resource in two files', () => {
    const { code, err } = run({ file: [file('good.yaml', good), file('again.yaml', good)] });
    assert.equal(code, 1);
    assert.match(err, /again\.yaml: Workload shop\/web is also in .*good\.yaml$/m);
  });

  it('writes to a file by the command line, reading a folder', async () => {
    const output = join(folder, 'out.json');
    for (const name of ['one.yaml', 'two.yaml', 'other.yaml', 'again.yaml'])
      rmSync(join(folder, name), { force: true });
    file('good.yaml', good);
    const program = new Command('pilot').exitOverride();
    addBuildCommand(program);
    const before = process.exitCode;
    await program.parseAsync(['build', '-f', folder, '--workload', 'web', '-o', output], { from: 'user' });
    assert.equal(process.exitCode, 0);
    process.exitCode = before;
    assert.ok(existsSync(output));
    assert.equal(parseStaticConfig(readFileSync(output, 'utf8')).snapshot.self.workload, 'web');
  });
});
