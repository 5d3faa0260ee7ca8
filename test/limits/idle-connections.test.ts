/**
 * Memory row M1, on the built program: what idle keep-alive connections cost, plaintext and over mTLS, each after
 * a request was answered on it.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { bundle } from '../../deploy/build/bundle.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { quietMs } from '../../sidecar/quiet.ts';
import { defer, suiteScope } from '../support/cleanup.ts';
import { startApp } from '../support/http-app.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { settledBytes } from '../support/process-memory.ts';
import { scaled } from '../support/scale.ts';
import { startStaticPair } from '../support/static-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

guardLeaks({ settleMs: 30_000 });

const plainConnections = scaled(1_000, 10_000);
const tlsConnections = scaled(200, 2_000);
/** The budget of a sidecar with 10,000 of them. */
const maxPlainTotalBytes = 140e6;
/** What the 10,000 may add to one at rest (70 MB), each; and one over mTLS. */
const maxPlainBytesEach = 8_000;
const maxTlsBytesEach = 80 * 1024;
/** Garbage of a short run, up to three times 8 MB of young generation, does not average out over few connections. */
const slackBytes = scaled(24e6, 0);
/** Two hundred handshakes are no burst, after which a sidecar would give memory back. */
const tlsTotal = scaled(settledBytes, settledBytesAfterRelease);
/** Connections opened at once. */
const batch = 100;

describe('idle connections', () => {
  const scope = suiteScope();
  let program = '';

  before(async () => {
    const folder = tempFolder(scope);
    await bundle(['heddle', 'command-line', 'sidecar'], folder);
    program = join(folder, 'heddle.js');
  });

  it(`${plainConnections} in plaintext`, async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http' }],
      start: { caller: { program }, receiver: { program } },
    });
    const open = () => connect({ port: pair.outboundPort, host: '127.0.0.1' });
    const sockets = new Set<Socket>();
    defer(t, () => sockets.forEach((socket) => void socket.destroy()));
    for (let n = 0; n < batch; n++) await converse(open, sockets);
    const rest = await settledBytes(pair.caller.pid);
    await openMany(open, sockets, plainConnections);
    const total = await settledBytesAfterRelease(pair.caller.pid);
    const each = (total - rest) / plainConnections;
    t.diagnostic(
      `${Math.round(rest / 1e6)} MB, then ${Math.round(total / 1e6)} MB: ${Math.round(each)} bytes each`,
    );
    assert.ok(total <= maxPlainTotalBytes, `${total} bytes`);
    assert.ok(total - rest <= plainConnections * maxPlainBytesEach + slackBytes, `${each} bytes each`);
  });

  it(`${tlsConnections} over mTLS`, async (t) => {
    const app = await startApp(t);
    const pair = await startStaticPair(t, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http', mtls: 'permissive' }],
      start: { caller: { program }, receiver: { program } },
    });
    const identity = await pair.mesh.bundle('web');
    const open = () => connectMutual(pair.plainPort(80), identity);
    const sockets = new Set<Socket>();
    defer(t, () => sockets.forEach((socket) => void socket.destroy()));
    for (let n = 0; n < batch; n++) await converse(open, sockets);
    const rest = await settledBytes(pair.receiver.pid);
    await openMany(open, sockets, tlsConnections);
    const total = await tlsTotal(pair.receiver.pid);
    const each = (total - rest) / tlsConnections;
    t.diagnostic(
      `${Math.round(rest / 1e6)} MB, then ${Math.round(total / 1e6)} MB: ${Math.round(each)} bytes each`,
    );
    assert.ok(total - rest <= tlsConnections * maxTlsBytesEach + slackBytes, `${each} bytes each`);
  });
});

/** Once the process has had its quiet time, it gives back what only the requests needed. */
async function settledBytesAfterRelease(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 2 * quietMs + 1_000));
  return await settledBytes(pid);
}

async function openMany(open: () => Socket, sockets: Set<Socket>, count: number): Promise<void> {
  for (let left = count; left > 0; left -= batch) {
    await Promise.all(Array.from({ length: Math.min(batch, left) }, () => converse(open, sockets)));
  }
}

/** Opens a connection, has one request answered on it, and leaves it open. */
function converse(open: () => Socket, sockets: Set<Socket>): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = open();
    sockets.add(socket);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed before an answer')));
    socket.once('data', () => resolve());
    socket.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
  });
}

function connectMutual(port: number, identity: IdentityBundle): Socket {
  return connectTls({
    port,
    host: '127.0.0.1',
    key: identity.privateKey,
    cert: identity.certificateChain,
    ca: identity.trustBundle,
    ALPNProtocols: ['http/1.1'],
    checkServerIdentity: () => undefined,
  });
}
