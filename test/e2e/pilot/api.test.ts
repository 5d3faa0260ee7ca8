import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import { readResource } from '../../../mesh/resource/read.ts';
import { readOrCreateAccessToken } from '../../../pilot/api/access-token.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { pilotApi, serviceYaml } from '../../support/pilot-api.ts';
import { tempFolder } from '../../support/temp-folder.ts';

guardLeaks();

const path = '/v1/resources/Service/shop/orders';
const service = (name: string, port = 80) => ({
  apiVersion: 'heddle/v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports: [{ port }] },
});

describe('the HTTP API', () => {
  it('writes, reads, lists and deletes a resource, with revisions as ETags', async (t) => {
    const { request } = await pilotApi(t);
    const created = await request('PUT', path, { body: serviceYaml('orders') });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    assert.equal(created.headers.get('etag'), '"1"');
    const read = await request('GET', path);
    assert.equal(read.body.metadata.resourceVersion, '1');
    assert.equal(readResource({ ...read.body }).metadata.name, 'orders');
    assert.deepEqual(
      read.body.status.findings.map((finding: { code: string }) => finding.code),
      ['HED0108'],
    );
    const again = await request('PUT', path, { body: read.body });
    assert.equal(again.status, 200);
    assert.equal(again.headers.get('etag'), '"1"');
    const list = await request('GET', '/v1/resources/Service?namespace=shop');
    assert.deepEqual([list.body.version.revision, list.body.items.length], [1, 1]);
    assert.equal((await request('GET', '/v1/resources?namespace=other')).body.items.length, 0);
    assert.equal((await request('DELETE', path)).status, 204);
    assert.equal((await request('DELETE', path)).status, 404);
    assert.equal((await request('GET', path)).status, 404);
  });

  it('refuses a write whose precondition does not hold', async (t) => {
    const { request } = await pilotApi(t);
    const put = (port: number, headers: Record<string, string>) =>
      request('PUT', path, { body: serviceYaml('orders', port), headers });
    assert.equal((await put(80, { 'if-match': '"3"' })).status, 412);
    assert.equal((await put(80, { 'if-none-match': '*' })).status, 201);
    assert.equal((await put(81, { 'if-none-match': '*' })).status, 412);
    assert.equal((await put(81, { 'if-match': '"1"' })).status, 200);
    const late = await put(82, { 'if-match': '"1"' });
    assert.equal(late.status, 412);
    assert.match(late.body.detail, /Service shop\/orders is at revision 2, expected revision 1/);
    assert.equal((await request('DELETE', path, { headers: { 'if-match': '"1"' } })).status, 412);
    assert.equal((await put(82, { 'if-match': 'garbage' })).status, 400);
  });

  it('answers a bad resource with a problem document of every problem, with line and column', async (t) => {
    const { request, live } = await pilotApi(t);
    const body = `${serviceYaml('orders', 70_000).replace('selector', 'selektor')}extra: 1\n`;
    const { status, headers, body: problem } = await request('PUT', path, { body });
    assert.equal(status, 422);
    assert.equal(headers.get('content-type'), 'application/problem+json');
    assert.equal(problem.type, 'urn:heddle:problem:invalid');
    const places = problem.problems.map((entry: { line: number; column: number; path: string }) => [
      entry.path,
      entry.line,
      entry.column > 0,
    ]);
    assert.ok(places.length >= 3, JSON.stringify(places));
    assert.deepEqual(
      places.find(([at]: string[]) => at === 'spec.ports[0].port'),
      ['spec.ports[0].port', 9, true],
    );
    assert.equal(live.current.version.revision, 0);
    const other = await request('PUT', path, { body: serviceYaml('other') });
    assert.equal(other.status, 422);
    assert.match(other.body.detail, /the body is Service shop\/other, the path names Service shop\/orders/);
  });

  it('applies a change set whole or not at all, and tries it dry', async (t) => {
    const { request, live } = await pilotApi(t);
    const changes = [{ put: service('a') }, { put: service('b') }];
    const dry = await request('POST', '/v1/changes', { body: { changes, dryRun: true } });
    assert.deepEqual([dry.status, dry.body.dryRun, dry.body.revision], [200, true, 0]);
    assert.equal(dry.body.warnings.length, 2);
    assert.equal(live.current.version.revision, 0);
    const bad = [
      ...changes,
      { put: { ...service('c'), spec: {} } },
      { delete: { kind: 'Service' } },
      { put: 7 },
    ];
    const refused = await request('POST', '/v1/changes', { body: { changes: bad } });
    assert.equal(refused.status, 422);
    const paths: string[] = refused.body.problems.map((entry: { path: string }) => entry.path);
    for (const at of ['changes[2].put', 'changes[3]', 'changes[4]']) {
      assert.ok(
        paths.some((entry) => entry.startsWith(at)),
        `${at} in ${paths}`,
      );
    }
    assert.equal(live.current.version.revision, 0);
    const applied = await request('POST', '/v1/changes', { body: { changes } });
    assert.equal(applied.body.revision, 1);
    const ref = { kind: 'Service', namespace: 'shop', name: 'a' };
    const mixed = [{ delete: ref }, { put: service('b'), ifRevision: 9 }];
    assert.equal((await request('POST', '/v1/changes', { body: { changes: mixed } })).status, 409);
    assert.equal(live.current.resources.get('Service')?.size, 2);
  });

  it('tells changes as server-sent events, and goes on where a client left', async (t) => {
    const { api, token, request } = await pilotApi(t);
    await request('PUT', path, { body: serviceYaml('orders') });
    const first = await watch(api.url, token, '/v1/watch?kind=Service');
    t.after(() => first.stop());
    await eventually(() => first.events.includes('synced'));
    await request('PUT', '/v1/resources/Service/shop/web', { body: serviceYaml('web') });
    await eventually(() => first.events.length === 4);
    assert.deepEqual(first.events, ['put orders', 'synced', 'put web', 'synced']);
    const lastId = first.lastId();
    await first.stop();
    await request('DELETE', path);
    await request('PUT', '/v1/resources/Service/shop/cart', { body: serviceYaml('cart') });
    const second = await watch(api.url, token, '/v1/watch?kind=Service', lastId);
    t.after(() => second.stop());
    await eventually(() => second.events.includes('synced'));
    assert.deepEqual(second.events, ['delete orders', 'put cart', 'synced']);
    const lost = await watch(api.url, token, '/v1/watch', '1.1');
    t.after(() => lost.stop());
    await eventually(() => lost.events.includes('synced'));
    assert.deepEqual([lost.events[0], lost.events.length], ['reset', 4]);
    await Promise.all([second.stop(), lost.stop()]);
  });

  it('asks for the token, whatever the path, and not for its health', async (t) => {
    const { request } = await pilotApi(t);
    const strange = ['', 'Bearer', 'Bearer wrong', 'Basic dGVzdA==', `Bearer ${'x'.repeat(8_000)}`];
    for (const authorization of strange) {
      const refused = await request('GET', '/v1/status', { headers: { authorization } });
      assert.equal(refused.status, 401, authorization);
      assert.equal(refused.headers.get('www-authenticate'), 'Bearer');
    }
    const health = await request('GET', '/healthz', { headers: { authorization: '' } });
    assert.deepEqual(health.body, { status: 'ok', store: 'current' });
    assert.equal((await request('GET', '/v1/nothing')).status, 404);
    assert.equal((await request('POST', '/v1/status')).status, 405);
    assert.equal((await request('GET', '/v1/resources/Nothing')).status, 404);
  });

  it('refuses bodies that are no JSON, unknown, too large or never end', async (t) => {
    const { api, token, request } = await pilotApi(t);
    assert.equal((await request('POST', '/v1/changes', { body: '{' })).status, 400);
    assert.equal((await request('POST', '/v1/changes', { body: '[]' })).status, 400);
    assert.equal((await request('POST', '/v1/tokens', { body: { nod: 'x' } })).status, 422);
    const socket = connect(api.port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', () => {});
    socket.write(`POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n`);
    socket.write('content-length: 999999999\r\n\r\n{');
    await eventually(() => text.startsWith('HTTP/1.1 413'));
    socket.destroy();
  });

  it('shows nodes, instances, sidecars and makes join tokens', async (t) => {
    const { request, reports, live, sidecars } = await pilotApi(t);
    const facts = { labels: {}, addresses: ['10.0.0.1'], network: '', locality: { region: '', zone: '' } };
    await reports.reportNode({ node: 'n1', bootId: 'b', ...facts }, 1);
    await eventually(() => live.current.nodes.size === 1);
    const version = { epoch: 1, revision: 4 };
    const problems = [{ path: 'clusters', message: 'too many' }];
    sidecars.push({
      sidecar: 'shop/web.0@n1',
      node: 'n1',
      acked: version,
      pending: undefined,
      nack: { version, problems, atMs: 0 },
    });
    const nodes = await request('GET', '/v1/nodes');
    assert.deepEqual([nodes.body.items[0].name, nodes.body.items[0].alive], ['n1', true]);
    assert.deepEqual((await request('GET', '/v1/instances')).body.items, []);
    const status = await request('GET', '/v1/status');
    assert.equal(status.body.isCurrent, true);
    assert.deepEqual(status.body.sidecars[0].nack.problems, problems);
    const token = await request('POST', '/v1/tokens', { body: { node: 'n2', ttlSeconds: 60 } });
    assert.deepEqual([token.status, token.body.token, token.body.node], [201, 'join-n2', 'n2']);
    assert.equal((await request('DELETE', '/v1/nodes/n1')).status, 204);
    assert.equal((await request('DELETE', '/v1/nodes/n1')).status, 404);
  });

  it('does not listen beyond loopback without TLS, and names a port that is taken', async (t) => {
    const { api } = await pilotApi(t);
    await assert.rejects(pilotApi(t, { listen: { host: '0.0.0.0', port: 0 } }), (thrown) => {
      assert.ok(thrown instanceof MeshError);
      assert.match(thrown.message, /does not listen on 0\.0\.0\.0 without TLS/);
      return true;
    });
    await assert.rejects(
      pilotApi(t, { listen: { host: '127.0.0.1', port: api.port } }),
      new RegExp(`cannot listen on 127\\.0\\.0\\.1:${api.port}: the port is taken`),
    );
  });
});

describe('readOrCreateAccessToken', () => {
  it('makes a private token once and refuses one that others can read', (t) => {
    const file = join(tempFolder(t), 'api-token');
    const token = readOrCreateAccessToken(file);
    assert.ok(token.length >= 32);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(readOrCreateAccessToken(file), token);
    assert.equal(readFileSync(file, 'utf8').trim(), token);
    chmodSync(file, 0o644);
    assert.throws(() => readOrCreateAccessToken(file), /can be read by other users/);
    chmodSync(file, 0o600);
    writeFileSync(file, '\n');
    assert.throws(() => readOrCreateAccessToken(file), /holds no token/);
  });
});

interface Watching {
  readonly events: string[];
  lastId(): string;
  stop(): Promise<void>;
}

async function watch(url: string, token: string, at: string, lastId?: string): Promise<Watching> {
  const abort = new AbortController();
  const headers = {
    authorization: `Bearer ${token}`,
    ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
  };
  const reply = await fetch(url + at, { headers, signal: abort.signal });
  assert.equal(reply.headers.get('content-type'), 'text/event-stream');
  const events: string[] = [];
  let id = '';
  let text = '';
  const reading = (async () => {
    for await (const chunk of (reply.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const lines = text.slice(0, end).split('\n');
        text = text.slice(end + 2);
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = JSON.parse(field('data') ?? '{}') as { name?: string; metadata?: { name: string } };
        events.push([field('event'), data.name ?? data.metadata?.name].filter(Boolean).join(' '));
        id = field('id') ?? id;
      }
    }
  })().catch(() => {});
  return {
    events,
    lastId: () => id,
    async stop() {
      abort.abort();
      await reading;
    },
  };
}
