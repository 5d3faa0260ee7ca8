/** Peers that cost more than they bring: each flood ends with GOAWAY ENHANCE_YOUR_CALM within its figure. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../kit/errors.ts';
import { Field } from '../../sidecar/codec/field.ts';
import { RecordedResponse } from '../support/codec-recorders.ts';
import {
  block,
  continuation,
  data,
  type Frame,
  frame,
  goaway,
  headers,
  ping,
  priority,
  rst,
  settings,
  windowUpdate,
} from '../support/http2-frames.ts';
import {
  playClient,
  playServer,
  requestHead,
  responseHead,
  type ScriptedPeer,
} from '../support/http2-peer.ts';
import { code, get, post, raw, short } from './h2-cases.ts';

/** Sends `make(0)`, `make(1)`, … until the connection is closed; returns how many it took and what was said. */
function floodOf(
  peer: ScriptedPeer,
  most: number,
  make: (i: number) => Buffer,
): { count: number; frames: Frame[] } {
  const frames: Frame[] = [];
  for (let i = 0; i < most; i++) {
    frames.push(...peer.send(make(i)));
    if (peer.conn.state !== 'open') return { count: i + 1, frames };
  }
  return { count: most, frames };
}

function assertCalm(frames: readonly Frame[]): void {
  assert.equal(frames.find((each) => each.type === 7)?.payload.readUInt32BE(4), code.calm);
}

describe('h2 floods', () => {
  it('rapid reset: 500 and some', () => {
    const { peer, acceptor } = playClient();
    const { count, frames } = floodOf(peer, 2000, (i) =>
      Buffer.concat([headers(1 + 2 * i, short), rst(1 + 2 * i, 8)]),
    );
    assert.ok(count > 400 && count <= 502, `${count} resets`);
    assertCalm(frames);
    assert.equal(acceptor.requests.filter(({ aborted }) => aborted === undefined).length, 0);
  });

  it('a burst of requests: 32 of a read at once, the others a turn later each', () => {
    const { peer, acceptor } = playClient();
    const { conn, bench } = peer;
    conn.receive(Buffer.concat(Array.from({ length: 90 }, (_, i) => headers(1 + 2 * i, short))));
    assert.deepEqual([acceptor.requests.length, conn.isPaused], [32, true]);
    conn.receive(headers(181, short));
    conn.receiveEnd();
    bench.flusher.oneTurn();
    assert.deepEqual([acceptor.requests.length, conn.isPaused], [64, true]);
    bench.flusher.oneTurn();
    assert.deepEqual([acceptor.requests.length, conn.isPaused], [91, false]);
    assert.ok(acceptor.requests.every(({ aborted }) => aborted === undefined));
  });

  it('a burst that is taken back in the same read costs no more than its first part at once', () => {
    const { peer, acceptor } = playClient();
    const pairs = Array.from({ length: 700 }, (_, i) => [headers(1 + 2 * i, short), rst(1 + 2 * i, 8)]);
    peer.conn.receive(Buffer.concat(pairs.flat()));
    assert.equal(acceptor.requests.length, 32);
    assertCalm(peer.turn());
    assert.ok(acceptor.requests.length <= 502);
  });

  it('resets that are spread over time are fine', () => {
    const { peer } = playClient();
    for (let second = 0; second < 40; second++) {
      const { count } = floodOf(peer, 30, (i) => {
        const id = 1 + 2 * (second * 30 + i);
        return Buffer.concat([headers(id, short), rst(id, 8)]);
      });
      assert.equal(count, 30);
      assert.equal(peer.conn.state, 'open');
      peer.bench.clock.advance(1000);
    }
  });

  it('calls whose deadlines pass are fine, however many', () => {
    const { peer } = playClient();
    const atOnce = 90;
    for (let first = 1; first < 2 * 30 * atOnce; first += 2 * atOnce) {
      const ids = Array.from({ length: atOnce }, (_, i) => first + 2 * i);
      for (const id of ids) peer.conn.receive(headers(id, short));
      peer.bench.clock.advance(200);
      for (const id of ids) peer.conn.receive(rst(id, 8));
      peer.bench.clock.advance(100);
    }
    assert.equal(peer.conn.state, 'open');
  });

  it('resets of a client that lets as many requests be answered are fine, however fast', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = ({ head, stream }) => {
      if (head.method === 'GET') stream.sendResponse(responseHead(204), true);
    };
    const { count } = floodOf(peer, 3000, (i) => {
      const id = 1 + 4 * i;
      return Buffer.concat([headers(id, short), headers(id + 2, block(post), 4), rst(id + 2, 8)]);
    });
    assert.equal(count, 3000);
    assert.equal(peer.conn.state, 'open');
  });

  for (const [how, provoke] of [
    ['by WINDOW_UPDATE of 0', (id: number) => windowUpdate(id, 0)],
    ['by a window overflow', (id: number) => windowUpdate(id, 2 ** 31 - 1)],
    ['by DATA after the end', (id: number) => data(id, 'a')],
    ['by HEADERS after the end', (id: number) => headers(id, short)],
  ] as const) {
    it(`resets that the client makes us send, ${how}`, () => {
      const { peer, acceptor } = playClient();
      const { count, frames } = floodOf(peer, 2000, (i) =>
        Buffer.concat([headers(1 + 2 * i, short), provoke(1 + 2 * i)]),
      );
      assert.ok(count <= 502, `${count} resets`);
      assertCalm(frames);
      // A slot is free only when the handler heard of the end.
      assert.ok(acceptor.requests.every(({ aborted }) => aborted !== undefined));
    });
  }

  it('malformed requests: 500 and some', () => {
    const { peer } = playClient();
    const { count, frames } = floodOf(peer, 2000, (i) => headers(1 + 2 * i, block([...get, ['X', 'y']])));
    assert.ok(count <= 502);
    assertCalm(frames);
  });

  it('CONTINUATION: more than 8 frames', () => {
    const { peer } = playClient();
    peer.send(headers(1, short, 1));
    const { count, frames } = floodOf(peer, 100, () => continuation(1, raw('00016100'), 0));
    assert.equal(count, 9);
    assertCalm(frames);
  });

  it('CONTINUATION: more than 32 KiB', () => {
    const { peer } = playClient();
    peer.send(headers(1, short, 1));
    const { count, frames } = floodOf(peer, 100, () => continuation(1, Buffer.alloc(16_384), 0));
    assert.equal(count, 2);
    assertCalm(frames);
  });

  it('an HPACK bomb costs a stream, a large one the connection', () => {
    const { peer, acceptor } = playClient();
    const seed = Buffer.concat([short, raw('400161 7fa11e'), Buffer.alloc(4000, 'x')]);
    peer.send(headers(1, seed));
    assert.equal(acceptor.requests.length, 1);
    const [reset] = peer.send(headers(3, Buffer.concat([short, Buffer.alloc(9, 0xbf)])));
    assert.deepEqual([reset?.type, reset?.stream], [3, 3]);
    assert.deepEqual(acceptor.refused, [431]);
    const frames = peer.send(headers(5, Buffer.alloc(8000, 0xbf)));
    assertCalm(frames);
    assert.equal(acceptor.requests.length, 1);
  });

  it('cookie crumbs count as fields', () => {
    const { peer, acceptor } = playClient();
    const crumbs = Array.from({ length: 200 }, () => ['cookie', 'a'] as const);
    peer.send(headers(1, block([...get, ...crumbs])));
    assert.deepEqual([acceptor.requests.length, acceptor.refused], [0, [431]]);
  });

  it('SETTINGS: 100 and some', () => {
    const { peer } = playClient();
    const { count, frames } = floodOf(peer, 1000, () => settings([[4, 65_535]]));
    assert.ok(count <= 101);
    assertCalm(frames);
  });

  it('many entries in SETTINGS', () => {
    const { peer } = playClient();
    assertCalm(peer.send(settings(Array.from({ length: 33 }, () => [0xff, 1] as const))));
  });

  it('PING: 100 and some', () => {
    const { peer } = playClient();
    const { count, frames } = floodOf(peer, 1000, () => ping());
    assert.ok(count <= 101);
    assertCalm(frames);
  });

  it('PING with every answer is no flood, and buys none', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = (request) => request.answer();
    for (let i = 0; i < 500; i++) {
      peer.send(headers(1 + 2 * i, short));
      peer.send(ping());
    }
    assert.equal(peer.conn.state, 'open');
    const { count, frames } = floodOf(peer, 1000, () => ping());
    assert.ok(count <= 101, `${count} frames`);
    assertCalm(frames);
  });

  it('answers to DATA of long ago: as many as its last 1024 frames allow', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = (request) => request.answer();
    for (let i = 0; i < 1500; i++) peer.send(headers(1 + 2 * i, short));
    peer.bench.clock.advance(3000);
    const { count, frames } = floodOf(peer, 3000, () => ping());
    assert.ok(count > 1000 && count <= 1125, `${count} frames`);
    assertCalm(frames);
  });

  for (const [what, make] of [
    ['acknowledged PING', () => ping(Buffer.alloc(8), 1)],
    ['acknowledged SETTINGS', () => settings([], 1)],
    ['GOAWAY', () => goaway(0, 0)],
  ] as const) {
    it(`${what}: 1000 and some`, () => {
      const { peer } = playClient();
      const { count, frames } = floodOf(peer, 2000, make);
      assert.ok(count <= 1001, `${count} frames`);
      assertCalm(frames);
    });
  }

  it('bodies on their way to streams that were answered early are no flood', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = (request) => request.answer('busy', 503);
    for (let i = 0; i < 2000; i++) {
      const id = 1 + 2 * i;
      peer.send(headers(id, block(post), 4));
      peer.send(data(id, Buffer.alloc(16_000)), data(id, Buffer.alloc(64)), data(id, '', 1), rst(id, 8));
    }
    assert.equal(peer.conn.state, 'open');
    assert.equal(acceptor.requests.length, 2000);
  });

  it('answers on their way to requests that we took back are no flood', () => {
    const { peer, client } = playServer();
    const trailers = block([['grpc-status', '0']]);
    for (let i = 0; i < 2000; i++) {
      const id = 1 + 2 * i;
      const stream = client.request(requestHead(), true, new RecordedResponse());
      peer.turn();
      stream.cancel(new MeshError('deadline_exceeded', 'late', { origin: 'local' }));
      peer.turn();
      const head = headers(id, block([[':status', '200']]), 4);
      peer.send(head, data(id, Buffer.alloc(100)), headers(id, trailers), rst(id, 0));
    }
    assert.equal(peer.conn.state, 'open');
    assert.equal(client.available, 100);
  });

  it('small DATA of a stream that is over: like that of any other', () => {
    const { peer, acceptor } = playClient();
    acceptor.onEach = (request) => request.answer('busy', 503);
    peer.send(headers(1, block(post), 4));
    const { count, frames } = floodOf(peer, 5000, () => data(1, 'a'));
    assert.ok(count > 1000 && count < 1100, `${count} frames`);
    assertCalm(frames);
  });

  it('empty DATA once a stream is no flood', () => {
    const { peer, acceptor } = playClient();
    for (let i = 0; i < 90; i++) {
      const id = 1 + 2 * i;
      peer.send(headers(id, block(post), 4), data(id, ''), data(id, '', 1));
      acceptor.requests[i]?.answer();
      peer.turn();
    }
    assert.equal(peer.conn.state, 'open');
    const { count, frames } = floodOf(peer, 50, (i) => {
      const id = 1001 + 2 * i;
      return Buffer.concat([headers(id, block(post), 4), data(id, ''), rst(id, 8)]);
    });
    assert.equal(count, 11);
    assertCalm(frames);
  });

  it('empty DATA: 10 in a row', () => {
    const { peer } = playClient();
    peer.send(headers(1, block(post), 4));
    const { count, frames } = floodOf(peer, 100, () => data(1, ''));
    assert.equal(count, 11);
    assertCalm(frames);
  });

  it('empty DATA between others: 100', () => {
    const { peer } = playClient();
    peer.send(headers(1, block(post), 4));
    const { count, frames } = floodOf(peer, 500, () =>
      Buffer.concat([data(1, ''), data(1, Buffer.alloc(64))]),
    );
    assert.equal(count, 101);
    assertCalm(frames);
  });

  it('small DATA: what lacks to 64 bytes each sums up to 64 KiB', () => {
    const { peer } = playClient();
    peer.send(headers(1, block(post), 4));
    const { count, frames } = floodOf(peer, 5000, () => data(1, 'a'));
    assert.ok(count > 1000 && count < 1100, `${count} frames`);
    assertCalm(frames);
  });

  for (const [what, lines] of [
    ['gRPC', [...post, ['content-type', 'application/grpc+proto']]],
    ['a tunnel', [[':method', 'CONNECT'], [':protocol', 'websocket'], ...get.slice(1)]],
  ] as const) {
    it(`small DATA of ${what}: a frame for each message is no flood, and takes nothing from others`, () => {
      const { peer, acceptor } = playClient();
      peer.send(headers(1, block(lines), 4));
      for (let sent = 0; sent < 30_000; sent += 1000) {
        peer.send(...Array.from({ length: 1000 }, () => data(1, 'tiny!')));
      }
      assert.equal(acceptor.requests[0]?.body.length, 150_000);
      peer.bench.clock.advance(2000);
      peer.send(headers(3, block(post), 4));
      const { count, frames } = floodOf(peer, 5000, () => data(3, 'a'));
      assert.ok(count > 1000 && count < 1100, `${count} frames`);
      assertCalm(frames);
    });
  }

  it('small DATA of an application is none either', () => {
    const { peer, client } = playServer();
    const response = new RecordedResponse();
    client.request(requestHead(), true, response);
    peer.turn();
    peer.send(headers(1, block([[':status', '200']]), 4));
    for (let sent = 0; sent < 30_000; sent += 1000) {
      peer.send(...Array.from({ length: 1000 }, () => data(1, 'a')));
    }
    assert.equal(response.body.length, 30_000);
  });

  it('PRIORITY and unknown frames: 1000 and some', () => {
    const one = playClient();
    assertCalm(floodOf(one.peer, 2000, (i) => priority(1 + 2 * i, 0)).frames);
    const other = playClient();
    const { count, frames } = floodOf(other.peer, 2000, () => frame(0x10, 0, 0, Buffer.alloc(5)));
    assert.ok(count <= 1001);
    assertCalm(frames);
  });

  it('WINDOW_UPDATE: no more than our DATA asks for', () => {
    const { peer } = playClient();
    peer.send(headers(1, block(post), 4));
    const { count, frames } = floodOf(peer, 1000, () => windowUpdate(0, 1));
    assert.ok(count < 50, `${count} frames`);
    assertCalm(frames);
  });

  it('WINDOW_UPDATE for each DATA frame, long after it and all at once, is no flood', () => {
    const { peer, acceptor } = playClient(undefined, [[4, 2 ** 20]]);
    peer.send(headers(1, short), windowUpdate(0, 2 ** 20));
    acceptor.requests[0]?.stream.sendResponse(responseHead(), false);
    for (let i = 0; i < 64; i++) acceptor.requests[0]?.stream.sendData(Buffer.alloc(16_384));
    assert.equal(peer.turn().filter(({ type }) => type === 0).length, 64);
    peer.bench.clock.advance(5000);
    const grants = Array.from({ length: 64 }, () => [windowUpdate(1, 16_384), windowUpdate(0, 16_384)]);
    peer.send(...grants.flat());
    assert.equal(peer.conn.state, 'open');
    const { count } = floodOf(peer, 2000, () => windowUpdate(0, 1));
    assert.ok(count < 64 * 20, `${count} frames`);
  });

  it('a peer that does not read our answers', () => {
    const { peer } = playClient();
    const resets = Array.from({ length: 400 }, (_, i) => headers(1 + 2 * i, block([...get, ['X', 'y']])));
    peer.conn.receive(Buffer.concat(resets));
    assert.equal(peer.conn.state, 'open');
    assert.ok(peer.turn().length >= 400);
  });

  it('a window held at zero: the stream is reset after 30 s', () => {
    const { peer, acceptor } = playClient(undefined, [[4, 0]]);
    acceptor.onEach = ({ stream }) => {
      stream.sendResponse(responseHead(200, [new Field('a', 'b')]), false);
      stream.sendData(Buffer.alloc(1000));
    };
    peer.send(headers(1, short));
    for (let second = 0; second < 35; second++) {
      peer.bench.clock.advance(1000);
      peer.send(ping(Buffer.alloc(8), 1));
    }
    assert.equal(acceptor.requests[0]?.aborted?.code, 'idle_timeout');
    assert.ok(peer.seen.some((each) => each.type === 3 && each.stream === 1));
  });

  const frameOf1000 = headers(3, Buffer.alloc(1000));
  for (const [what, begins, drips] of [
    ['a header block that is not continued', [headers(3, short, 1)], []],
    [
      'a header block of empty parts',
      [headers(3, short, 1)],
      Array(5).fill(continuation(3, Buffer.alloc(0), 0)),
    ],
    ['a frame that drips', [frameOf1000.subarray(0, 20)], Array(20).fill(frameOf1000.subarray(20, 21))],
  ] as const) {
    it(`${what}: 10 s, whatever else is going on`, () => {
      const { peer } = playClient();
      peer.send(headers(1, short), ...begins);
      let seconds = 0;
      for (; seconds < 20 && peer.conn.state === 'open'; seconds++) {
        peer.send(drips[seconds] ?? Buffer.alloc(0));
        peer.bench.clock.advance(1000);
      }
      peer.turn();
      assert.ok(seconds >= 10 && seconds <= 12, `${seconds} s`);
      assertCalm(peer.seen);
    });
  }

  it('frames that come in pieces, each within its time, are fine', () => {
    const { peer, acceptor } = playClient();
    for (let i = 0; i < 10; i++) {
      const frames = Buffer.concat([headers(1 + 2 * i, short, 1), continuation(1 + 2 * i, Buffer.alloc(0))]);
      for (let at = 0; at < frames.length; at += 8) {
        peer.send(frames.subarray(at, at + 8));
        peer.bench.clock.advance(2000);
      }
    }
    assert.deepEqual([peer.conn.state, acceptor.requests.length], ['open', 10]);
  });

  it('a socket that takes nothing: the connection is given up after 30 s', () => {
    const { peer } = playClient();
    peer.conn.unsentBytes = 5000;
    for (let second = 0; second < 35; second++) {
      peer.bench.clock.advance(1000);
      peer.conn.receive(ping(Buffer.alloc(8), 1));
    }
    assert.equal(peer.conn.state, 'destroyed');
  });

  it('an upstream that sends 1xx without end', () => {
    const { peer, client } = playServer();
    const response = new RecordedResponse();
    client.request(requestHead(), true, response);
    peer.turn();
    const heads = Array.from({ length: 101 }, () => headers(1, block([[':status', '103']]), 4));
    peer.send(...heads);
    assert.equal(response.aborted?.code, 'malformed_message');
    assert.equal(response.informational.length, 100);
  });
});
