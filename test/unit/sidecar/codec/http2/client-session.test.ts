import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../../kit/errors.ts';
import { Field } from '../../../../../sidecar/codec/field.ts';
import { limits } from '../../../../../sidecar/codec/http2/limits.ts';
import { RecordedResponse, RecordingOwner } from '../../../../support/codec-recorders.ts';
import {
  block,
  data,
  type Frame,
  goaway,
  headers,
  ping,
  readFrames,
  rst,
  settings,
} from '../../../../support/http2-frames.ts';
import {
  http2Bench,
  link,
  plain,
  playServer,
  requestHead,
  ScriptedPeer,
} from '../../../../support/http2-peer.ts';

const oops = new MeshError('internal', 'oops', { origin: 'local' });

describe('ClientSession', () => {
  it('sends a request in one write and reads its answer', () => {
    const { peer, client, owner } = playServer();
    const response = new RecordedResponse();
    const stream = client.request(
      requestHead({
        method: 'POST',
        fields: [new Field('x', 'y')],
        contentLength: 2,
        acceptsTrailers: true,
        expectContinue: true,
      }),
      false,
      response,
    );
    stream.sendData(Buffer.from('ab'));
    stream.sendEnd(undefined);
    const frames = peer.turn();
    assert.deepEqual(
      frames.map(({ type, flags, stream: id }) => [type, flags, id]),
      [
        [1, 4, 1],
        [0, 1, 1],
      ],
    );
    assert.deepEqual(peer.read(frames[0] as Frame), [
      ':method: POST',
      ':scheme: http',
      ':authority: orders.shop',
      ':path: /a',
      'x: y',
      'content-length: 2',
      'te: trailers',
      'expect: 100-continue',
    ]);
    const before = owner.times('available');
    peer.send(
      headers(
        1,
        block([
          [':status', '200'],
          ['a', 'b'],
        ]),
        4,
      ),
      data(1, 'cd'),
      headers(1, block([['grpc-status', '0']])),
    );
    assert.deepEqual(
      [response.head?.status, response.body, response.trailers],
      [200, 'cd', ['grpc-status: 0']],
    );
    assert.equal(owner.times('available'), before + 1);
  });

  it("honours the peer's limit of streams and its changes", () => {
    const { peer, client } = playServer(plain, [[3, 2]]);
    assert.equal(client.available, 2);
    client.request(requestHead(), true, new RecordedResponse());
    assert.deepEqual([client.available, client.active], [1, 1]);
    peer.send(settings([[3, 0]]));
    assert.equal(client.available, 0);
    peer.send(settings([[3, 1000]]));
    assert.equal(client.available, 99);
  });

  it('leaves no trace of a request that was cancelled before it left', () => {
    const { peer, client } = playServer();
    const stream = client.request(requestHead(), true, new RecordedResponse());
    stream.cancel(oops);
    assert.deepEqual(peer.turn(), []);
    assert.equal(client.active, 0);
    client.request(requestHead(), true, new RecordedResponse());
    assert.equal(peer.turn()[0]?.stream, 1);
  });

  it('believes only a sidecar that its application took all the time to connect', () => {
    for (const [options, features, expected] of [
      [link, 7, ['connect_timeout', 'always']],
      [link, 3, ['stream_reset', 'never']],
      [plain, 7, ['stream_reset', 'never']],
    ] as const) {
      const { peer, client } = playServer(options, [[0xf4d1, features]]);
      const response = new RecordedResponse();
      client.request(requestHead(), true, response);
      peer.turn();
      peer.send(rst(1, 10));
      assert.deepEqual([response.aborted?.code, response.aborted?.retry], expected);
    }
  });

  it('cancels a request and drops what still comes', () => {
    const { peer, client } = playServer();
    const response = new RecordedResponse();
    const stream = client.request(requestHead(), true, response);
    peer.turn();
    stream.cancel(oops);
    const [reset] = peer.turn();
    assert.deepEqual([reset?.type, reset?.payload.readUInt32BE(0)], [3, 8]);
    peer.send(headers(1, block([[':status', '200']]), 4), data(1, 'a', 1));
    assert.equal(response.head, undefined);
    assert.equal(client.active, 0);
    assert.equal(peer.conn.state, 'open');
  });

  it('takes no requests after GOAWAY, and closes after the last answer', () => {
    const { peer, client, owner } = playServer();
    const kept = new RecordedResponse();
    const lost = new RecordedResponse();
    client.request(requestHead(), true, kept);
    client.request(requestHead(), true, lost);
    peer.turn();
    peer.send(goaway(1, 0));
    assert.equal(client.available, 0);
    assert.equal(owner.times('unavailable'), 1);
    assert.equal(lost.aborted?.retry, 'always');
    peer.send(headers(1, block([[':status', '200']])));
    assert.equal(kept.ended, true);
    peer.turn();
    assert.equal(peer.conn.state, 'closed');
    peer.conn.lose();
    assert.deepEqual([owner.times('unavailable'), owner.times('closed')], [1, 1]);
  });

  it('takes no more requests once it has opened as many streams as a connection may', () => {
    const { streamsPerConnection } = limits;
    limits.streamsPerConnection = 4;
    try {
      const { peer, client, owner } = playServer();
      const response = new RecordedResponse();
      for (const each of [new RecordedResponse(), response]) {
        assert.ok(client.available > 0);
        client.request(requestHead(), true, each);
        peer.turn();
      }
      assert.equal(client.available, 0);
      assert.equal(owner.times('unavailable'), 1);
      peer.send(headers(3, block([[':status', '200']])));
      assert.equal(response.ended, true);
    } finally {
      limits.streamsPerConnection = streamsPerConnection;
    }
  });

  it('says which requests may be repeated when the connection dies', () => {
    const { peer, client } = playServer();
    const [sent, answered, unsent] = [new RecordedResponse(), new RecordedResponse(), new RecordedResponse()];
    client.request(requestHead(), true, sent);
    client.request(requestHead(), true, answered);
    peer.turn();
    peer.send(headers(3, block([[':status', '200']]), 4));
    client.request(requestHead(), true, unsent);
    peer.conn.lose(new MeshError('connection_reset', 'gone', { origin: 'upstream' }));
    assert.deepEqual(
      [sent.aborted?.retry, answered.aborted?.retry, unsent.aborted?.retry],
      ['if_idempotent', 'never', 'always'],
    );
    const fresh = playServer();
    const first = new RecordedResponse();
    fresh.client.request(requestHead(), true, first);
    fresh.peer.turn();
    fresh.peer.conn.lose(new MeshError('connection_reset', 'gone', { origin: 'upstream' }));
    assert.equal(first.aborted?.retry, 'elsewhere');
  });

  for (const [what, lose] of [
    ['a reset', (peer: ScriptedPeer) => void peer.send(rst(1, 0))],
    ["the connection's end", (peer: ScriptedPeer) => peer.conn.lose()],
  ] as const) {
    it(`delivers an answer that was whole before ${what}, though its request is not`, () => {
      for (const isSlow of [false, true]) {
        const { peer, client } = playServer();
        const response = new RecordedResponse();
        const stream = client.request(requestHead({ method: 'POST' }), false, response);
        stream.sendData(Buffer.from('ab'));
        peer.turn();
        if (isSlow) stream.pauseResponse();
        peer.send(headers(1, block([[':status', '413']]), 4), data(1, 'too'), data(1, ' long', 1));
        lose(peer);
        assert.equal(stream.sendData(Buffer.from('cd')), true);
        stream.resumeResponse();
        peer.bench.flusher.turn();
        assert.deepEqual([response.head?.status, response.body, response.ended], [413, 'too long', true]);
        assert.equal(response.aborted, undefined);
        assert.equal(client.active, 0);
      }
    });
  }

  it('tells of the reset of a tunnel that the upstream has ended', () => {
    const { peer, client } = playServer();
    const response = new RecordedResponse();
    client.request(requestHead({ protocol: 'websocket' }), false, response);
    peer.turn();
    peer.send(headers(1, block([[':status', '200']]), 4), data(1, 'bye', 1), rst(1, 8));
    assert.deepEqual([response.body, response.ended, response.aborted?.code], ['bye', true, 'stream_reset']);
  });

  it('drains: no new requests, then GOAWAY and an end', () => {
    const { peer, client, owner } = playServer();
    const response = new RecordedResponse();
    client.request(requestHead(), true, response);
    peer.turn();
    client.drain();
    assert.deepEqual([client.available, owner.times('unavailable')], [0, 1]);
    peer.send(headers(1, block([[':status', '200']])));
    assert.equal(response.ended, true);
    peer.turn();
    assert.equal(peer.conn.state, 'closed');
  });

  it("waits for the upstream's word before it asks for another protocol", () => {
    const peer = new ScriptedPeer(http2Bench());
    const client = peer.bench.codec.connect(peer.conn, new RecordingOwner(), peer.bench.options(plain));
    const response = new RecordedResponse();
    const stream = client.request(requestHead({ protocol: 'websocket' }), false, response);
    stream.sendData(Buffer.from('early'));
    assert.ok(peer.turn().every((each) => each.type !== 1 && each.type !== 0));
    const frames = peer.send(settings([[8, 1]]));
    assert.deepEqual(
      frames.map(({ type }) => type),
      [4, 1, 0],
    );
    assert.deepEqual(peer.read(frames[1] as Frame).slice(0, 5), [
      ':method: CONNECT',
      ':scheme: http',
      ':authority: orders.shop',
      ':path: /a',
      ':protocol: websocket',
    ]);
    peer.send(headers(1, block([[':status', '200']]), 4));
    assert.equal(response.head?.status, 101);
  });

  it('refuses another protocol where the upstream does not know it', () => {
    const { peer, client } = playServer(plain, []);
    const response = new RecordedResponse();
    client.request(requestHead({ protocol: 'websocket' }), false, response);
    assert.deepEqual(peer.turn(), []);
    assert.equal(response.aborted?.code, 'not_implemented');
    assert.equal(client.active, 0);
  });

  it('splits a head over the frame size into CONTINUATION', () => {
    const { peer, client } = playServer();
    const value = 'z'.repeat(20_000);
    client.request(requestHead({ fields: [new Field('x-long', value)] }), true, new RecordedResponse());
    const frames = peer.turn();
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags]),
      [
        [1, 1],
        [9, 4],
      ],
    );
    const joined = Buffer.concat(frames.map(({ payload }) => payload));
    assert.ok(peer.read({ ...(frames[0] as Frame), payload: joined }).includes(`x-long: ${value}`));
  });

  it('is given up, not idle, where the upstream does not begin', () => {
    const peer = new ScriptedPeer(http2Bench());
    const owner = new RecordingOwner();
    const options = { ...peer.bench.options({ link: false, idleMs: 2000 }), beginMs: 5000 };
    peer.bench.codec.connect(peer.conn, owner, options);
    peer.bench.clock.advance(4900);
    assert.equal(owner.times('unavailable'), 0);
    peer.bench.clock.advance(400);
    assert.equal(owner.error?.code, 'connect_timeout');
    assert.match(owner.error?.message ?? '', /has not begun HTTP\/2 within 5000 ms: no SETTINGS/);
  });

  it('asks a silent application no more often than gRPC servers allow, and only while requests are open', () => {
    const { peer, client } = playServer(plain);
    const pings = () => peer.turn().filter(({ type }) => type === 6);
    peer.bench.clock.advance(1_200_000);
    assert.deepEqual(pings(), []);
    client.request(requestHead(), true, new RecordedResponse());
    peer.turn();
    const askedMs: number[] = [];
    for (let passedMs = 0; passedMs < 1_200_000; passedMs += 1000) {
      peer.bench.clock.advance(1000);
      for (const { payload } of pings()) {
        askedMs.push(passedMs);
        peer.send(ping(payload, 1));
      }
    }
    assert.ok(askedMs.length >= 3, `asked ${askedMs.length} times`);
    const pauses = askedMs.slice(1).map((atMs, before) => atMs - (askedMs[before] as number));
    assert.ok(Math.min(...pauses) >= 300_000 / 0.85, `${pauses}`);
  });

  it('writes nothing for a peer that is gone', () => {
    const { peer, client } = playServer();
    peer.conn.lose();
    assert.equal(client.available, 0);
    client.drain();
    peer.bench.flusher.turn();
    assert.deepEqual(readFrames(peer.conn.takeWritten()), []);
  });
});
