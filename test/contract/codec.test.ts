/** What every codec keeps, over real sockets: the proxy between two of them must not be able to tell which they are. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import { systemRandom } from '../../kit/random.ts';
import type { ClientConnection, ClientStream, RequestHead } from '../../sidecar/codec/codec.ts';
import { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { createCodecs } from '../../sidecar/codec/index.ts';
import { dial } from '../../sidecar/net/dial.ts';
import { listen } from '../../sidecar/net/listener.ts';
import { SocketConn } from '../../sidecar/net/socket-conn.ts';
import { defer } from '../support/cleanup.ts';
import {
  linesOf,
  type RecordedRequest,
  RecordedResponse,
  RecordingAcceptor,
  RecordingOwner,
} from '../support/codec-recorders.ts';
import { testServices } from '../support/conn-pair.ts';
import { eventually } from '../support/eventually.ts';
import { requestHead } from '../support/fake-codec.ts';
import { guardLeaks } from '../support/leak-guard.ts';

guardLeaks();

interface Ends {
  readonly acceptor: RecordingAcceptor;
  readonly connection: ClientConnection;
  readonly owner: RecordingOwner;
  /** Sends a request and returns both what the client and what the server hears. */
  ask(init?: Partial<RequestHead>, end?: boolean): Promise<Asked>;
  drainServer(): void;
}

interface Asked {
  readonly stream: ClientStream;
  readonly response: RecordedResponse;
  readonly request: RecordedRequest;
}

const services = testServices();
const codecs = createCodecs({ ...services, random: systemRandom });

for (const [name, codec] of codecs) {
  const open = async (t: TestContext): Promise<Ends> => {
    const options = { link: false, idleMs: 60_000, timers: services.timers, memo: new FieldMemo(5) };
    const acceptor = new RecordingAcceptor();
    const owner = new RecordingOwner();
    let drainServer = (): void => {};
    const listener = await listen({ host: '127.0.0.1', port: 0 }, (socket: Socket) => {
      const conn = new SocketConn(socket, services, { origin: 'downstream' });
      const server = codec.serve(conn, acceptor, options);
      drainServer = () => server.drain();
      defer(t, () => conn.destroy());
    });
    defer(t, () => listener.close());
    const target = { address: '127.0.0.1', port: listener.port };
    const conn = await dial(target, services, { clock: systemClock, timeoutMs: 5000 });
    const connection = codec.connect(conn, owner, options);
    defer(t, () => conn.destroy());
    const ask = async (init: Partial<RequestHead> = {}, end = true): Promise<Asked> => {
      await eventually(() => connection.available > 0);
      const response = new RecordedResponse();
      const before = acceptor.requests.length;
      const stream = connection.request(requestHead(init), end, response);
      const request = await eventually(() => acceptor.requests[before]);
      return { stream, response, request };
    };
    return { acceptor, connection, owner, ask, drainServer: () => drainServer() };
  };

  describe(`codec ${name}`, () => {
    it('carries a head as it is, framing aside', async (t) => {
      const { ask } = await open(t);
      const fields = [
        new Field('x-a', '1'),
        new Field('x-a', '2'),
        new Field('x-b', '\xe9\xff'),
        new Field('x-c', ''),
      ];
      const { request, response } = await ask({ authority: 'shop.example:81', path: '/p?q=1', fields });
      assert.equal(request.head.method, 'GET');
      assert.equal(request.head.authority, 'shop.example:81');
      assert.equal(request.head.path, '/p?q=1');
      assert.equal(request.head.scheme, 'http');
      assert.deepEqual(linesOf(request.head.fields), linesOf(fields));
      assert.ok(request.ended);
      request.stream.sendResponse({ status: 404, fields, contentLength: 0 }, true);
      await eventually(() => response.ended);
      assert.equal(response.head?.status, 404);
      assert.deepEqual(linesOf(response.head?.fields), linesOf(fields));
    });

    it('carries bodies of known and of unknown length both ways, with trailers', async (t) => {
      const { ask } = await open(t);
      for (const contentLength of [10, -1]) {
        const { stream, request, response } = await ask({ method: 'POST', contentLength }, false);
        stream.sendData(Buffer.from('hello'));
        stream.sendData(Buffer.from('world'));
        stream.sendEnd(contentLength === -1 ? [new Field('x-t', '1')] : undefined);
        await eventually(() => request.ended);
        assert.equal(request.body, 'helloworld');
        assert.equal(request.head.contentLength, contentLength);
        assert.deepEqual(request.trailers, contentLength === -1 ? ['x-t: 1'] : []);
        request.stream.sendResponse({ status: 200, fields: [], contentLength }, false);
        request.stream.sendData(Buffer.from('HELLOWORLD'));
        request.stream.sendEnd(contentLength === -1 ? [new Field('x-t', '2')] : undefined);
        await eventually(() => response.ended);
        assert.equal(response.body, 'HELLOWORLD');
        assert.deepEqual(response.trailers, contentLength === -1 ? ['x-t: 2'] : []);
      }
    });

    it('answers many requests in turn on one connection', async (t) => {
      const { ask, connection } = await open(t);
      for (let i = 0; i < 20; i++) {
        const { request, response } = await ask({ path: `/${i}` });
        request.answer(`answer ${i}`);
        await eventually(() => response.ended, { everyMs: 1 });
        assert.equal(response.body, `answer ${i}`);
      }
      await eventually(() => connection.active === 0);
    });

    it('sends no body with HEAD, 204 and 304, and says the length where there would be one', async (t) => {
      const { ask } = await open(t);
      for (const [method, status, contentLength] of [
        ['HEAD', 200, 7],
        ['GET', 304, 7],
        ['GET', 204, -1],
      ] as const) {
        const { request, response } = await ask({ method });
        request.stream.sendResponse({ status, fields: [], contentLength }, true);
        await eventually(() => response.ended);
        assert.equal(response.body, '');
        assert.equal(response.head?.contentLength, contentLength);
      }
      // An error that answers every method alike.
      const { request, response } = await ask({ method: 'HEAD' });
      request.answer('no such page', 404);
      await eventually(() => response.ended);
      assert.deepEqual([response.head?.status, response.head?.contentLength, response.body], [404, 12, '']);
    });

    it('passes 1xx on before the final answer', async (t) => {
      const { ask } = await open(t);
      const { request, response } = await ask();
      request.stream.sendInformational({
        status: 103,
        fields: [new Field('link', '</a>')],
        contentLength: -1,
      });
      request.answer();
      await eventually(() => response.ended);
      assert.deepEqual(response.informational, [103]);
      assert.deepEqual(linesOf(response.head?.fields), []);
    });

    it('says whether the client waits for 100', async (t) => {
      const { ask } = await open(t);
      const { stream, request, response } = await ask(
        { method: 'POST', contentLength: 2, expectContinue: true },
        false,
      );
      assert.equal(request.head.expectContinue, true);
      assert.deepEqual(linesOf(request.head.fields), []);
      request.stream.sendInformational({ status: 100, fields: [], contentLength: -1 });
      await eventually(() => response.informational.length === 1);
      stream.sendData(Buffer.from('hi'));
      stream.sendEnd(undefined);
      await eventually(() => request.ended);
      request.answer();
      await eventually(() => response.ended);
    });

    it('shows a response that was cut as cut', async (t) => {
      const { ask } = await open(t);
      const { request, response } = await ask();
      request.stream.sendResponse({ status: 200, fields: [], contentLength: 100 }, false);
      request.stream.sendData(Buffer.from('half'));
      await eventually(() => response.body === 'half');
      request.stream.reset(new MeshError('internal', 'test', { origin: 'local' }));
      await eventually(() => response.aborted);
      assert.ok(!response.ended);
      assert.equal(response.aborted?.origin, 'upstream');
      assert.equal(response.aborted?.retry, 'never');
    });

    it('tells the server of a request that was given up', async (t) => {
      const { ask } = await open(t);
      const { stream, request, response } = await ask({ method: 'POST' }, false);
      stream.cancel(new MeshError('deadline_exceeded', 'test', { origin: 'local' }));
      await eventually(() => request.aborted);
      assert.equal(request.aborted?.origin, 'downstream');
      assert.equal(response.aborted, undefined);
    });

    it('stops a writer whose reader does not keep up, and loses nothing', async (t) => {
      const { ask } = await open(t);
      const { stream, request, response } = await ask();
      request.stream.sendResponse({ status: 200, fields: [], contentLength: -1 }, false);
      stream.pauseResponse();
      const chunk = Buffer.alloc(64 * 1024, 'x');
      let sent = 0;
      const pump = (): boolean => {
        sent += chunk.length;
        return request.stream.sendData(chunk);
      };
      await eventually(() => !pump(), { everyMs: 1 });
      assert.ok(sent < 32 * 1024 * 1024, 'nothing held it back');
      const before = request.writable;
      stream.resumeResponse();
      await eventually(() => request.writable > before);
      request.stream.sendEnd(undefined);
      await eventually(() => response.ended);
      assert.equal(response.body.length, sent);
    });

    it('stops the sender of a request body likewise', async (t) => {
      const { ask } = await open(t);
      const { stream, request, response } = await ask({ method: 'POST' }, false);
      request.stream.pauseRequest();
      const chunk = Buffer.alloc(64 * 1024, 'x');
      let sent = 0;
      await eventually(
        () => {
          sent += chunk.length;
          return !stream.sendData(chunk);
        },
        { everyMs: 1 },
      );
      request.stream.resumeRequest();
      await eventually(() => response.writable > 0);
      stream.sendEnd(undefined);
      await eventually(() => request.ended);
      assert.equal(request.body.length, sent);
      request.answer();
      await eventually(() => response.ended);
    });

    it('becomes a tunnel after 101, each way ending alone', async (t) => {
      const { ask } = await open(t);
      const { stream, request, response } = await ask({ protocol: 'websocket' }, false);
      assert.equal(request.head.protocol, 'websocket');
      assert.equal(request.head.method, 'GET');
      request.stream.sendResponse({ status: 101, fields: [], contentLength: -1 }, false);
      await eventually(() => response.head);
      assert.equal(response.head?.status, 101);
      stream.sendData(Buffer.from('up'));
      await eventually(() => request.body === 'up');
      stream.sendEnd(undefined);
      await eventually(() => request.ended);
      request.stream.sendData(Buffer.from('down'));
      request.stream.sendEnd(undefined);
      await eventually(() => response.ended);
      assert.equal(response.body, 'down');
    });

    it('drains: finishes what is in flight, then closes on both sides', async (t) => {
      const { ask, owner, acceptor, drainServer } = await open(t);
      const { request, response } = await ask();
      drainServer();
      request.answer();
      await eventually(() => response.ended);
      await eventually(() => owner.events.includes('closed') && acceptor.closed === 1);
      assert.equal(owner.events.filter((event) => event === 'unavailable').length, 1);
      assert.equal(owner.events.at(-1), 'closed');
    });

    it('fails what is in flight when the connection breaks, once', async (t) => {
      const { ask, connection, owner, acceptor } = await open(t);
      const { request, response } = await ask();
      connection.destroy(
        new MeshError('connection_reset', 'test', { origin: 'upstream', retry: 'if_idempotent' }),
      );
      await eventually(() => response.aborted && owner.events.at(-1) === 'closed');
      // A client that only ended its side would still be answered, so the server may learn of it by writing.
      if (request.aborted === undefined) request.answer();
      await eventually(() => acceptor.closed === 1);
      assert.equal(connection.available, 0);
    });
  });
}
