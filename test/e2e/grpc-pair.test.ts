/** gRPC by its own library through a pair of sidecars: unary and streaming, trailers, errors, deadlines. */
import assert from 'node:assert/strict';
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
import { guardLeaks } from '../support/leak-guard.ts';
import { startStaticPair } from '../support/static-pair.ts';

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

async function startGrpc(t: TestContext): Promise<Client> {
  const server = new Server();
  server.addService(definition, {
    unary,
    server: serverStream,
    client: clientStream,
    both: bothStreams,
    fail,
    hang: () => {},
  });
  const appPort = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  defer(t, () => server.forceShutdown());
  const pair = await startStaticPair(t, { ports: [{ port: 9090, appPort, protocol: 'grpc' }] });
  receiver = pair.receiver;
  const client = new Client(`127.0.0.1:${pair.localPort(9090)}`, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
  });
  defer(t, () => client.close());
  return client;
}

let receiver: { readonly stdout: string } = { stdout: '' };

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
});
