/** Limits that an operator set: they take force in real sidecars, and wrong ones are refused where they are written. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { LimitSettings } from '../../mesh/limits.ts';
import { formatStaticConfig } from '../../proto/static-config.ts';
import { defer } from '../support/cleanup.ts';
import { ask, listenForTest } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { startProcess } from '../support/processes.ts';
import { describePair, startStaticPair, startStaticSide } from '../support/static-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

guardLeaks();

async function startReceiver(t: TestContext, limits: LimitSettings, args: readonly string[] = []) {
  // Node's own limit is 16 KiB.
  const app = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
    request.resume();
    request.on('end', () => response.end(String(request.url?.length)));
  });
  const appPort = await listenForTest(t, app);
  const served = { port: 80, appPort, protocol: 'http', mtls: 'permissive' } as const;
  const { mesh, receiver } = await describePair({ ports: [served] });
  await startStaticSide(
    t,
    mesh,
    { ...receiver, bootstrap: { ...receiver.bootstrap, limits } },
    { args: [...args] },
  );
  return receiver.bootstrap.apps[0]?.plain?.port ?? 0;
}

const manyFields = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`x-${at}`, 'v']));

async function announcedStreams(t: TestContext, port: number): Promise<number | undefined> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  defer(t, () => void session.destroy());
  const [settings] = (await once(session, 'remoteSettings')) as [{ maxConcurrentStreams?: number }];
  return settings.maxConcurrentStreams;
}

/** What a client hears that sends these bytes and then nothing. */
async function hear(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

describe('limits that were set', () => {
  for (const workers of [[], ['--workers', '2']]) {
    it(`take force ${workers.length === 0 ? 'in a sidecar' : 'in each of its workers'}`, async (t) => {
      const limits = { 'http1.maxFields': 20, 'http1.headMs': 300, 'http2.plainStreams': 7 };
      const port = await startReceiver(t, limits, workers);
      assert.equal((await ask(port, { headers: manyFields(10) })).status, 200);
      assert.equal((await ask(port, { headers: manyFields(30) })).status, 431);
      assert.equal(await announcedStreams(t, port), 7);
      assert.match(await hear(port, 'GET / HTTP/1.1\r\nhost: shop\r\n'), /^HTTP\/1\.1 408 /);
    });
  }

  it('let through what the defaults would refuse', async (t) => {
    const port = await startReceiver(t, {
      'http1.maxFields': 500,
      'http1.maxHeadBytes': 200_000,
      'http1.maxStartLineBytes': 100_000,
    });
    const reply = await ask(port, { path: `/${'a'.repeat(50_000)}`, headers: manyFields(300) });
    assert.equal(reply.status, 200);
    assert.equal(reply.body, '50001');
  });

  const unset: LimitSettings = {};
  for (const [what, sidecarLimits, fields, pathBytes] of [
    // 32 KiB but for a few bytes, and nearly 100 lines with those that the test's client and server add.
    ['the defaults allow', unset, 96, 15_000],
    [
      'raised limits allow',
      { 'http1.maxHeadBytes': 100_000, 'http2.fieldBytesPerBlock': 100_000, 'http2.blockBytes': 100_000 },
      90,
      15_000,
    ],
  ] as const) {
    it(`let over a link what ${what} at its beginning`, async (t) => {
      const app = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
        const names = Object.keys(request.headers).filter((name) => name.startsWith('x-v'));
        response.writeHead(200, Object.fromEntries(names.map((name) => [name, 'v'])));
        response.end(String(names.length));
      });
      const appPort = await listenForTest(t, app);
      const pair = await startStaticPair(t, {
        ports: [{ port: 80, appPort, protocol: 'http' }],
        sidecarLimits,
      });
      const most = sidecarLimits['http1.maxHeadBytes'] ?? 32_768;
      const value = 'v'.repeat(Math.floor((most - pathBytes - 200) / fields) - 'x-v00: \r\n'.length);
      const headers = Object.fromEntries(
        Array.from({ length: fields }, (_, at) => [`x-v${String(at).padStart(2, '0')}`, value]),
      );
      const reply = await ask(pair.outboundPort, { path: `/${'a'.repeat(pathBytes)}`, headers });
      assert.deepEqual([reply.status, reply.body], [200, String(fields)]);
    });
  }

  it('bound a body, whether its length is declared or not, in either version', async (t) => {
    const port = await startReceiver(t, { 'requests.maxBodyKib': 16 });
    const body = (kib: number) => Buffer.alloc(kib * 1024 + (kib > 16 ? 1 : 0));
    const chunked = { 'transfer-encoding': 'chunked' };
    for (const headers of [{}, chunked]) {
      assert.equal((await ask(port, { method: 'POST', headers, body: body(16) })).status, 200);
      const { status, body: why } = await ask(port, { method: 'POST', headers, body: body(17) });
      assert.deepEqual([status, why], [413, 'the body is longer than 16 KiB\n']);
    }
    // The rest of such a body is not read (RFC 9112 §9.6).
    const post = 'POST / HTTP/1.1\r\nhost: shop\r\n';
    for (const begun of [
      `${post}content-length: 20000\r\n\r\nabc`,
      `${post}transfer-encoding: chunked\r\n\r\n5000\r\n${'a'.repeat(17 * 1024)}`,
    ]) {
      assert.match(await hear(port, begun), /^HTTP\/1\.1 413 .*\r\nconnection: close\r\n\r\nthe body/s);
    }
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    defer(t, () => void session.destroy());
    for (const [kib, expected] of [
      [16, 200],
      [17, 413],
    ] as const) {
      const stream = session.request({ ':authority': 'shop', ':path': '/', ':method': 'POST' });
      stream.on('error', () => {});
      stream.end(body(kib));
      const [head] = (await once(stream, 'response')) as [{ ':status'?: number }];
      stream.resume();
      assert.equal(head[':status'], expected);
    }
  });

  it('take force in connections', async (t) => {
    const port = await startReceiver(t, { 'http1.maxLeadingEmptyLines': 1, 'http1.maxConnectionOptions': 2 });
    const head = 'GET / HTTP/1.1\r\nhost: shop\r\nconnection: close';
    assert.match(await hear(port, `\r\n${head}, a\r\n\r\n`), / 200 /);
    assert.match(await hear(port, `\r\n\r\n${head}\r\n\r\n`), / 400 /);
    assert.match(await hear(port, `${head}, a, b\r\n\r\n`), / 400 /);
  });

  it('are refused by their name where they are wrong', async (t) => {
    const { receiver } = await describePair({ ports: [] });
    const limits = { 'http1.maxField': 100, 'http2.plainStreams': 0, 'http2.pings.burst': 10 };
    const bootstrap = { ...receiver.bootstrap, limits };
    const file = join(tempFolder(t), 'wrong.json');
    writeFileSync(
      file,
      formatStaticConfig({ bootstrap, identity: { kind: 'none' }, snapshot: receiver.snapshot }),
    );
    const args = ['bin/heddle.mjs', 'sidecar', 'run', '--config', file];
    const sidecar = await startProcess(t, { command: process.execPath, args });
    assert.equal((await sidecar.exited).code, 1);
    assert.match(sidecar.stderr, /limits\.http1\.maxField: no such limit, did you mean 'http1\.maxFields'\?/);
    assert.match(
      sidecar.stderr,
      /limits\.http2\.plainStreams: expected a whole number from 1 to 65536, got 0/,
    );
    assert.doesNotMatch(sidecar.stderr, /pings/);
  });
});
