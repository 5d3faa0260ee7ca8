import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { type handleUnaryCall, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { type Probe, runProbe } from '../../../../node-agent/supervisor/readiness.ts';
import { defer } from '../../../support/cleanup.ts';
import { freePort } from '../../../support/free-port.ts';
import { listen } from '../../../support/tls-bench.ts';

const host = '127.0.0.1';
const look = (probe: Probe) => new Promise<boolean>((resolve) => void runProbe(probe, resolve));
const bytes = (value: Buffer) => value;

/** A health service in grpc-js, whose messages are written by hand: `service` to its status (1 serves, 2 does not). */
async function healthServer(t: TestContext, statuses: Record<string, number>): Promise<number> {
  const check: handleUnaryCall<Buffer, Buffer> = ({ request }, done) => {
    const found = statuses[request.subarray(2).toString()];
    if (found === undefined) done({ code: status.NOT_FOUND });
    else done(null, Buffer.from([8, found]));
  };
  const server = new Server();
  const method = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  server.addService({ check: method }, { check });
  defer(t, () => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:0`, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

describe('probes', () => {
  it("asks a gRPC server's health: the whole server's or a service's", async (t) => {
    const port = await healthServer(t, { '': 1, 'shop.Orders': 1, 'shop.Stock': 2 });
    const ask = (service: string) => look({ kind: 'grpc', host, port, service });
    assert.equal(await ask(''), true);
    assert.equal(await ask('shop.Orders'), true);
    assert.equal(await ask('shop.Stock'), false);
    assert.equal(await ask('shop.Unknown'), false);
  });

  it('takes nothing else for health: another protocol, silence, nobody', async (t) => {
    const web = createServer((_request, response) => response.end('fine'));
    const port = await listen(t, web);
    assert.equal(await look({ kind: 'grpc', host, port, service: '' }), false);
    const mute = await listen(
      t,
      createTcpServer((socket) => void socket.on('error', () => {})),
    );
    assert.equal(await look({ kind: 'grpc', host, port: mute, service: '', timeoutMs: 200 }), false);
    assert.equal(await look({ kind: 'grpc', host, port: await freePort(), service: '' }), false);
  });

  it('looks at ports and paths', async (t) => {
    const web = createServer((request, response) => {
      response.writeHead(request.url === '/ready' ? 204 : 503).end();
    });
    const port = await listen(t, web);
    assert.equal(await look({ kind: 'port', host, port }), true);
    assert.equal(await look({ kind: 'http', host, port, path: '/ready' }), true);
    assert.equal(await look({ kind: 'http', host, port, path: '/other' }), false);
  });
});
