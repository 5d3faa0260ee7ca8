/** What one HTTP/2 connection can make us keep: heads, bodies that nobody reads, answers to frames. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../kit/errors.ts';
import { limits } from '../../sidecar/codec/http2/limits.ts';
import { RecordedResponse } from '../support/codec-recorders.ts';
import { block, continuation, data, type Frame, headers, settings } from '../support/http2-frames.ts';
import {
  link,
  playClient,
  playServer,
  requestHead,
  responseHead,
  type ScriptedClient,
} from '../support/http2-peer.ts';
import { code, get, post, short } from './h2-cases.ts';

const filler = Array.from({ length: 29 }, (_, i) => [`x-${i}`, 'v'.repeat(1000)] as const);
/** Some 30 KiB in two frames. */
function largeHead(id: number): Buffer {
  const whole = block([...get, ...filler]);
  return Buffer.concat([headers(id, whole.subarray(0, 16_000), 1), continuation(id, whole.subarray(16_000))]);
}

const refusedIn = (frames: readonly Frame[]) =>
  frames.filter(({ type, payload }) => type === 3 && payload.readUInt32BE(0) === code.refused).length;

const webSocket = [[':protocol', 'websocket'], ...get.slice(1)] as const;

/** Increments of the connection's window. */
const grantedIn = (frames: readonly Frame[]) =>
  frames
    .filter(({ type, stream }) => type === 8 && stream === 0)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);

describe('memory of an HTTP/2 connection', () => {
  it('heads in progress stay within 2 MiB; streams beyond are refused until some have ended', () => {
    const { peer, acceptor } = playClient();
    const frames = Array.from({ length: 100 }, (_, i) => peer.send(largeHead(1 + 2 * i))).flat();
    const taken = acceptor.requests.length;
    assert.ok(taken * 30_000 <= limits.plainConnectionBytes + 32_768, `${taken} heads`);
    assert.ok(taken > 50);
    assert.equal(refusedIn(frames), 100 - taken);
    for (const { stream } of acceptor.requests) stream.sendResponse(responseHead(204), true);
    peer.turn();
    peer.send(headers(201, short));
    assert.equal(acceptor.requests.length, taken + 1);
  });

  it('bodies that nobody reads stay within 2 MiB; the connection waits, and goes on', () => {
    const client = playClient();
    const { peer, acceptor } = client;
    acceptor.onEach = ({ stream }) => stream.pauseRequest();
    const sent = sendBodies(client, 60);
    assert.ok(sent <= limits.plainHeldBytes + limits.plainConnectionWindow, `${sent} bytes`);
    assert.ok(sent > limits.plainConnectionWindow);
    for (const { stream } of acceptor.requests) stream.resumeRequest();
    assert.ok(grantedIn(peer.turn()) >= limits.plainConnectionWindow / 2);
    assert.equal(
      acceptor.requests.reduce((sum, { body }) => sum + body.length, 0),
      sent,
    );
  });

  for (const [what, lastFlags] of [
    ['bodies', 0],
    ['whole bodies', 1],
  ] as const) {
    it(`${what} whose requests are answered unread make room for others`, () => {
      const client = playClient();
      const { peer, acceptor } = client;
      acceptor.onEach = ({ stream }) => stream.pauseRequest();
      sendBodies(client, 60, lastFlags);
      for (const { stream } of acceptor.requests) stream.sendResponse(responseHead(413), true);
      assert.ok(grantedIn(peer.turn()) >= limits.plainConnectionWindow / 2);
      assert.ok(acceptor.requests.every(({ ended, aborted }) => !ended && aborted === undefined));
    });
  }

  it('what is held is given back once, also where its reader gives up in the middle', () => {
    const begun = () => {
      const client = playClient();
      client.acceptor.onEach = ({ stream }) => stream.pauseRequest();
      return client;
    };
    const most = sendBodies(begun(), 60);
    const client = begun();
    const { peer, acceptor } = client;
    const spent = sendBodies(client, 15);
    for (const request of acceptor.requests) {
      request.onRequestData = () =>
        request.stream.reset(new MeshError('internal', 'no', { origin: 'local' }));
      request.stream.resumeRequest();
    }
    peer.turn();
    const sent = sendBodies(client, 60, 0, { firstId: 1001, spent });
    assert.ok(sent <= most + limits.plainConnectionWindow / 2, `${sent} bytes wait, at first ${most}`);
  });

  it('what is held of an open tunnel outlives the end of the other direction', () => {
    const { peer, acceptor } = playClient();
    peer.send(headers(1, block([[':method', 'CONNECT'], ...webSocket]), 4));
    const [request] = acceptor.requests;
    request?.stream.sendResponse(responseHead(101), false);
    request?.stream.pauseRequest();
    peer.send(data(1, 'abc', 1));
    request?.stream.sendEnd(undefined);
    peer.turn();
    assert.deepEqual([request?.body, request?.ended], ['', false]);
    request?.stream.resumeRequest();
    peer.turn();
    assert.deepEqual([request?.body, request?.ended], ['abc', true]);
  });

  it('one slow reader with its window wide open does not stall the others of its connection', () => {
    const { peer, acceptor } = playClient();
    const chunk = Buffer.alloc(16_384);
    let connection = limits.streamWindow + grantedIn(peer.seen);
    let stream = limits.streamWindow;
    const take = (frames: readonly Frame[]) => {
      connection += grantedIn(frames);
      for (const { type, stream: id, payload } of frames)
        if (type === 8 && id === 1) stream += payload.readUInt32BE(0);
    };
    const upload = () => {
      while (stream >= chunk.length && connection >= chunk.length) {
        stream -= chunk.length;
        connection -= chunk.length;
        take(peer.send(data(1, chunk)));
      }
    };
    take(peer.send(headers(1, block(post), 4)));
    for (let sent = 0; sent < 64; sent++) {
      stream -= chunk.length;
      connection -= chunk.length;
      take(peer.send(data(1, chunk)));
    }
    acceptor.requests[0]?.stream.pauseRequest();
    upload();
    assert.ok(stream < chunk.length, 'the slow one has used all that it was given');
    take(peer.send(headers(3, block(post), 4)));
    for (let sent = 0; sent < 200; sent++) {
      assert.ok(connection >= chunk.length, `stalled after ${sent} chunks`);
      connection -= chunk.length;
      take(peer.send(data(3, chunk)));
    }
    assert.equal(acceptor.requests[1]?.body.length, 200 * chunk.length);
  });

  it('one slow reader does not stall a link', () => {
    const client = playClient(link);
    client.acceptor.onEach = ({ stream }) => stream.pauseRequest();
    assert.equal(sendBodies(client, 60), 60 * bodyBytes);
  });

  it('slow readers on all streams of an application do not stall its connection', () => {
    const { creditLeft, sendWindows } = answering(limits.plainStreams);
    sendWindows();
    assert.ok(creditLeft() >= limits.plainConnectionWindow / 2);
  });

  it('slow readers that hold too much keep new requests away from a connection, until they read', (t) => {
    const { appHeldBytes } = limits;
    limits.appHeldBytes = 1024 * 1024;
    t.after(() => {
      limits.appHeldBytes = appHeldBytes;
    });
    const { client, owner, streams, sendWindows, turn } = answering(70);
    sendWindows();
    assert.equal(client.available, 0);
    const before = owner.times('available');
    for (const stream of streams) stream.resumeResponse();
    turn();
    assert.equal(client.available, limits.plainStreams - 70);
    assert.ok(owner.times('available') > before);
  });

  it('answers to frames that the peer does not read end the connection', () => {
    const { peer } = playClient();
    peer.conn.receive(Buffer.concat(Array.from({ length: 102 }, () => settings([[3, 100]]))));
    assert.equal(
      peer
        .turn()
        .find(({ type }) => type === 7)
        ?.payload.readUInt32BE(4),
      code.calm,
    );
  });
});

/** So many requests on an application's connection that have an answer each, of which nobody reads the body. */
function answering(requests: number) {
  const { peer, client, owner } = playServer();
  let credit = limits.streamWindow + grantedIn(peer.seen);
  const take = (frames: readonly Frame[]) => {
    credit += grantedIn(frames);
  };
  const responses = Array.from({ length: requests }, () => new RecordedResponse());
  const streams = responses.map((response) => client.request(requestHead(), true, response));
  take(peer.turn());
  const ids = streams.map((_, at) => 1 + 2 * at);
  for (const id of ids) take(peer.send(headers(id, block([[':status', '200']]), 4)));
  for (const stream of streams) stream.pauseResponse();
  return {
    client,
    owner,
    streams,
    turn: () => take(peer.turn()),
    creditLeft: () => credit,
    /** Sends on every stream what its first window allows. */
    sendWindows() {
      const chunk = Buffer.alloc(limits.appStreamWindow);
      for (const id of ids) {
        assert.ok(credit >= chunk.length, `stalled on stream ${id}`);
        credit -= chunk.length;
        take(peer.send(data(id, chunk)));
      }
    },
  };
}

const bodyBytes = 64_000;

/** Uploads on `streams` streams as far as the connection's window lets it; returns the bytes that it could send. */
function sendBodies(
  { peer }: ScriptedClient,
  streams: number,
  lastFlags = 0,
  { firstId, spent } = { firstId: 1, spent: 0 },
): number {
  const chunk = Buffer.alloc(bodyBytes / 4);
  // What was granted when the connection began is in `seen`.
  let credit = limits.streamWindow + grantedIn(peer.seen) - spent;
  let sent = 0;
  for (let i = 0; i < streams; i++) {
    const id = firstId + 2 * i;
    credit += grantedIn(peer.send(headers(id, block(post), 4)));
    for (let part = 0; part < 4 && credit >= chunk.length; part++) {
      credit -= chunk.length;
      sent += chunk.length;
      credit += grantedIn(peer.send(data(id, chunk, part === 3 ? lastFlags : 0)));
    }
  }
  return sent;
}
