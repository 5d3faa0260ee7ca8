/** gRPC by its own library through a pair of sidecars: unary and streaming, trailers, errors, deadlines. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import {
  Client,
  type ClientReadableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { listenForTest } from '../support/http-app.ts';
import { block, data, headers, preface, rst, settings } from '../support/http2-frames.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { type PairOptions, type StaticPair, startStaticPair } from '../support/static-pair.ts';

guardLeaks();

const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };
const method = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: bytes.serialize,
  requestDeserialize: bytes.deserialize,
  responseSerialize: bytes.serialize,
  responseDeserialize: bytes.deserialize,
});

const definition = {
  unary: method('/test.Echo/Unary', false, false),
  server: method('/test.Echo/Server', false, true),
  client: method('/test.Echo/Client', true, false),
  both: method('/test.Echo/Both', true, true),
  fail: method('/test.Echo/Fail', false, false),
  hang: method('/test.Echo/Hang', false, false),
  drip: method('/test.Echo/Drip', false, true),
  unavailable: method('/test.Echo/Unavailable', false, false),
} satisfies ServiceDefinition;

const unary: handleUnaryCall<Buffer, Buffer> = (call, done) => {
  const trailers = new Metadata();
  trailers.set('x-length', String(call.request.length));
  done(null, call.request, trailers);
};
const serverStream: handleServerStreamingCall<Buffer, Buffer> = (call) => {
  for (let n = 0; n < 5; n++) call.write(Buffer.from(`${n}`));
  call.end();
};
const clientStream: handleClientStreamingCall<Buffer, Buffer> = (call, done) => {
  const parts: string[] = [];
  call.on('data', (part: Buffer) => parts.push(part.toString()));
  call.on('end', () => done(null, Buffer.from(parts.join('+'))));
};
const bothStreams: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on('data', (part: Buffer) => call.write(Buffer.from(part.toString().toUpperCase())));
  call.on('end', () => call.end());
};
const fail: handleUnaryCall<Buffer, Buffer> = (_call, done) => {
  done({ code: status.NOT_FOUND, details: 'no such thing: ü' });
};

/** What the server of the running test saw of its callers. */
interface Seen {
  /** By the server's clock, ms since 1970. */
  readonly deadlines: number[];
  unavailable: number;
}
let seen: Seen = { deadlines: [], unavailable: 0 };

async function startGrpc(t: TestContext, timeouts: PairOptions['timeouts'] = {}): Promise<Client> {
  const mine: Seen = { deadlines: [], unavailable: 0 };
  seen = mine;
  const hang: handleUnaryCall<Buffer, Buffer> = (call) => {
    mine.deadlines.push(Number(call.getDeadline()));
  };
  const drip: handleServerStreamingCall<Buffer, Buffer> = (call) => void call.write(Buffer.from('first'));
  const unavailable: handleUnaryCall<Buffer, Buffer> = (_call, done) => {
    mine.unavailable++;
    done({ code: status.UNAVAILABLE, details: 'not now' });
  };
  const server = new Server();
  server.addService(definition, {
    unary,
    server: serverStream,
    client: clientStream,
    both: bothStreams,
    fail,
    hang,
    drip,
    unavailable,
  });
  const appPort = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  defer(t, () => server.forceShutdown());
  stopServer = () => server.forceShutdown();
  const pair = await startStaticPair(t, { ports: [{ port: 9090, appPort, protocol: 'grpc' }], timeouts });
  receiver = pair.receiver;
  sidecars = pair;
  const client = new Client(`127.0.0.1:${pair.localPort(9090)}`, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
  });
  defer(t, () => client.close());
  return client;
}

let receiver: { readonly stdout: string } = { stdout: '' };
let stopServer = () => {};
let sidecars: StaticPair | undefined;

function callUnary(client: Client, path: string, request: Buffer, deadlineMs = 10_000) {
  return new Promise<{ value: Buffer; trailers: Metadata }>((resolve, reject) => {
    let trailers = new Metadata();
    const call = client.makeUnaryRequest(
      path,
      bytes.serialize,
      bytes.deserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + deadlineMs },
      (error, value) =>
        error === null
          ? process.nextTick(() => resolve({ value: value as Buffer, trailers }))
          : reject(error),
    );
    call.on('status', (end) => {
      trailers = end.metadata;
    });
  });
}

const grpcHead = block([
  [':status', '200'],
  ['content-type', 'application/grpc'],
]);

/** The server's side of HTTP/2, as far as it takes to hear of each request's head by its stream. */
function answerHeads(socket: Socket, onHead: (stream: number) => void): void {
  let received = Buffer.alloc(0);
  let at = preface.length;
  socket.write(settings());
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= at + 9 && received.length >= at + 9 + received.readUIntBE(at, 3)) {
      const type = received[at + 3];
      if (type === 4 && received[at + 4] === 0) socket.write(settings([], 1));
      if (type === 1) onHead(received.readUInt32BE(at + 5));
      at += 9 + received.readUIntBE(at, 3);
    }
  });
}

const collect = async (stream: ClientReadableStream<Buffer>) => {
  const parts: string[] = [];
  for await (const part of stream) parts.push(String(part));
  return parts;
};

describe('gRPC through a pair of sidecars', () => {
  it('answers unary calls with their trailers, small and large', async (t) => {
    const client = await startGrpc(t);
    const small = await callUnary(client, '/test.Echo/Unary', Buffer.from('hello'));
    assert.equal(small.value.toString(), 'hello');
    assert.deepEqual(small.trailers.get('x-length'), ['5']);
    const large = await callUnary(client, '/test.Echo/Unary', Buffer.alloc(3_000_000, 7));
    assert.equal(large.value.length, 3_000_000);
  });

  it('streams from the server, from the client, and both ways at once', async (t) => {
    const client = await startGrpc(t);
    const { serialize, deserialize } = bytes;
    const fromServer = client.makeServerStreamRequest(
      '/test.Echo/Server',
      serialize,
      deserialize,
      Buffer.alloc(0),
    );
    assert.deepEqual(await collect(fromServer), ['0', '1', '2', '3', '4']);

    const joined = await new Promise<Buffer>((resolve, reject) => {
      const call = client.makeClientStreamRequest<Buffer, Buffer>(
        '/test.Echo/Client',
        serialize,
        deserialize,
        (error, value) => (error === null ? resolve(value as Buffer) : reject(error)),
      );
      for (const part of ['a', 'b', 'c']) call.write(Buffer.from(part));
      call.end();
    });
    assert.equal(joined.toString(), 'a+b+c');

    const both = client.makeBidiStreamRequest<Buffer, Buffer>('/test.Echo/Both', serialize, deserialize);
    both.write(Buffer.from('ping'));
    const [first] = await new Promise<Buffer[]>((resolve) =>
      both.once('data', (part: Buffer) => resolve([part])),
    );
    assert.equal(first?.toString(), 'PING');
    both.write(Buffer.from('pong'));
    both.end();
    assert.deepEqual(await collect(both), ['PONG']);
  });

  it('streams small messages one by one, as many as there are', async (t) => {
    const client = await startGrpc(t);
    const { serialize, deserialize } = bytes;
    const both = client.makeBidiStreamRequest<Buffer, Buffer>('/test.Echo/Both', serialize, deserialize);
    for (let at = 0; at < 1500; at++) {
      both.write(Buffer.from('x'));
      const [part] = (await once(both, 'data')) as [Buffer];
      assert.equal(part.toString(), 'X');
    }
    both.end();
    assert.deepEqual(await collect(both), []);
  });

  it("passes on a server's status and message, and counts by it", async (t) => {
    const client = await startGrpc(t);
    await assert.rejects(callUnary(client, '/test.Echo/Fail', Buffer.alloc(0)), (error: ServiceError) => {
      assert.deepEqual([error.code, error.details], [status.NOT_FOUND, 'no such thing: ü']);
      return true;
    });
    await eventually(() => /"protocol":"grpc".*"grpcStatus":5/.test(receiver.stdout));
  });

  it('lets a deadline end a call that hangs, at the server too', async (t) => {
    const client = await startGrpc(t);
    await assert.rejects(callUnary(client, '/test.Echo/Hang', Buffer.alloc(0), 300), {
      code: status.DEADLINE_EXCEEDED,
    });
    await eventually(() => /"path":"\/test.Echo\/Hang"/.test(receiver.stdout));
  });

  it("ends a call whose caller set a deadline and forgot it, at both hops' word", async (t) => {
    await startGrpc(t);
    const sentAtMs = Date.now();
    const reply = await callRaw(t, '/test.Echo/Hang', { 'grpc-timeout': '2S' });
    assert.deepEqual(reply.status, ['200', String(status.DEADLINE_EXCEEDED)]);
    // What the server was told is what was left, not what the caller once had.
    const deadlineMs = await eventually(() => seen.deadlines[0]);
    assert.ok(
      deadlineMs - sentAtMs > 0 && deadlineMs <= Date.now(),
      'the server has no more time than its caller',
    );
    assert.ok(deadlineMs > sentAtMs, 'the server has some time');
    await eventually(() => /"path":"\/test.Echo\/Hang".*"grpcStatus":4/.test(receiver.stdout));
  });

  it('answers at once where the deadline has passed already, and asks nobody', async (t) => {
    const client = await startGrpc(t);
    const reply = await callRaw(t, '/test.Echo/Unavailable', { 'grpc-timeout': '0S' });
    assert.deepEqual(reply.status, ['200', String(status.DEADLINE_EXCEEDED)]);
    await assert.rejects(callUnary(client, '/test.Echo/Fail', Buffer.alloc(0)), { code: status.NOT_FOUND });
    await eventually(() => receiver.stdout.includes('/test.Echo/Fail'));
    assert.ok(!receiver.stdout.includes('/test.Echo/Unavailable'), "the receiver's sidecar saw nothing");
    assert.equal(seen.unavailable, 0);
  });

  it('asks nobody either where the deadline passes before the application has begun', async (t) => {
    const asked: number[] = [];
    const appPort = await listenForTest(
      t,
      createServer((socket) => {
        socket.on('error', () => {});
        // Within the tick in which the sidecar's coarse timer is still to come.
        setTimeout(() => {
          answerHeads(socket, (stream) => {
            asked.push(stream);
            socket.write(headers(stream, Buffer.concat([grpcHead, block([['grpc-status', '0']])])));
          });
        }, 320);
      }),
    );
    sidecars = await startStaticPair(t, { ports: [{ port: 9090, appPort, protocol: 'grpc' }] });
    const reply = await callRaw(t, '/test.Echo/Late', { 'grpc-timeout': '300m' });
    assert.deepEqual(reply.status, ['200', String(status.DEADLINE_EXCEEDED)]);
    assert.deepEqual((await callRaw(t, '/test.Echo/Next', {})).status, ['200', String(status.OK)]);
    assert.equal(asked.length, 1);
  });

  it('holds a call to its route where the caller allows more', async (t) => {
    await startGrpc(t, { requestMs: 300 });
    const reply = await callRaw(t, '/test.Echo/Hang', { 'grpc-timeout': '5M' });
    assert.deepEqual(reply.status, ['200', String(status.DEADLINE_EXCEEDED)]);
  });

  it('ends a stream at its deadline with a status, after what had come', async (t) => {
    await startGrpc(t);
    const reply = await callRaw(t, '/test.Echo/Drip', { 'grpc-timeout': '500m' });
    assert.match(reply.body, /first/);
    assert.equal(reply.status[1], String(status.DEADLINE_EXCEEDED));
  });

  it('tells the caller of a stream that its server broke off by a status, after what had come', async (t) => {
    const { constants } = http2;
    let how: number | 'cut' = 'cut';
    const appPort = await listenForTest(
      t,
      createServer((socket) => {
        socket.on('error', () => {});
        answerHeads(socket, (stream) => {
          const first = Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), Buffer.from('first')]);
          const reply = [headers(stream, grpcHead, 4), data(stream, first)];
          if (how === 'cut') socket.end(Buffer.concat(reply));
          else socket.write(Buffer.concat([...reply, rst(stream, how)]));
        });
      }),
    );
    const pair = await startStaticPair(t, { ports: [{ port: 9090, appPort, protocol: 'grpc' }] });
    const client = new Client(`127.0.0.1:${pair.localPort(9090)}`, credentials.createInsecure(), {
      'grpc.enable_http_proxy': 0,
    });
    defer(t, () => client.close());
    for (const [ending, expected] of [
      [constants.NGHTTP2_INTERNAL_ERROR, status.INTERNAL],
      [constants.NGHTTP2_NO_ERROR, status.INTERNAL],
      [constants.NGHTTP2_CANCEL, status.CANCELLED],
      [constants.NGHTTP2_REFUSED_STREAM, status.UNAVAILABLE],
      [constants.NGHTTP2_ENHANCE_YOUR_CALM, status.RESOURCE_EXHAUSTED],
      [constants.NGHTTP2_INADEQUATE_SECURITY, status.PERMISSION_DENIED],
      ['cut', status.UNAVAILABLE],
    ] as const) {
      how = ending;
      const { path } = definition.drip;
      const call = client.makeServerStreamRequest(path, bytes.serialize, bytes.deserialize, Buffer.of());
      const parts: string[] = [];
      call.on('data', (part: Buffer) => parts.push(String(part)));
      const [error] = (await once(call, 'error')) as [ServiceError];
      assert.deepEqual([how, parts, error.code], [how, ['first'], expected]);
      if (how !== 'cut') assert.match(error.details, /^upstream re(set|fused) the stream/);
    }
    await eventually(() => /"grpcStatus":14.*"detail":/.test(pair.caller.stdout + pair.receiver.stdout));
  });

  it('believes no deadline that is not one, and gives none to plain HTTP', async (t) => {
    await startGrpc(t);
    const reply = await callRaw(t, '/test.Echo/Unavailable', { 'grpc-timeout': '0.1S' });
    assert.notEqual(reply.status[1], String(status.DEADLINE_EXCEEDED));
  });

  it('does not repeat a call that a server answered, whatever it answered', async (t) => {
    const client = await startGrpc(t);
    await assert.rejects(callUnary(client, '/test.Echo/Unavailable', Buffer.alloc(0)), {
      code: status.UNAVAILABLE,
      details: 'not now',
    });
    assert.equal(seen.unavailable, 1);
  });

  it('answers in gRPC where nobody serves, and counts statuses by name', async (t) => {
    const client = await startGrpc(t);
    await callUnary(client, '/test.Echo/Unary', Buffer.from('x'));
    await assert.rejects(callUnary(client, '/test.Echo/Fail', Buffer.alloc(0)));
    stopServer();
    await assert.rejects(callUnary(client, '/test.Echo/Unary', Buffer.from('x')), {
      code: status.UNAVAILABLE,
    });
    const counts = await grpcCounts(sidecars?.callerAdmin ?? 0);
    assert.deepEqual(counts, { OK: 1, NOT_FOUND: 1, UNAVAILABLE: 1 });
    // A server's failure is an error to whoever reads of errors only.
    await eventually(() => /"grpcStatus":14/.test(receiver.stdout));
  });
});

async function grpcCounts(adminPort: number): Promise<Record<string, number>> {
  const page = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const lines = page.matchAll(/^heddle_grpc_requests_total\{.*grpc_code="(\w+)".*\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, code, count]) => [code, Number(count)]));
}

/** A call without a library that would watch its deadline itself. */
async function callRaw(
  t: TestContext,
  path: string,
  more: http2.OutgoingHttpHeaders,
): Promise<{ readonly status: readonly (string | undefined)[]; readonly body: string }> {
  const session = http2.connect(`http://127.0.0.1:${sidecars?.localPort(9090)}`);
  session.on('error', () => {});
  defer(t, () => session.destroy());
  const call = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  });
  let head: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  let body = '';
  call.on('response', (fields) => {
    head = fields;
  });
  call.on('trailers', (fields) => {
    trailers = fields;
  });
  call.on('data', (chunk: Buffer) => {
    body += chunk.toString('latin1');
  });
  // An empty message.
  call.end(Buffer.alloc(5));
  await once(call, 'end');
  const code = trailers['grpc-status'] ?? head['grpc-status'];
  return { status: [String(head[':status']), code === undefined ? undefined : String(code)], body };
}
