/** RFC 9113 and RFC 7541 as an upstream of our client sees them, frame by frame. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecordedResponse, RecordingOwner } from '../support/codec-recorders.ts';
import { type Frame, ping } from '../support/http2-frames.ts';
import { http2Bench, plain, playServer, requestHead, ScriptedPeer } from '../support/http2-peer.ts';
import { answerCases } from './h2-answers.ts';
import { badServerBeginnings, type ClientCase, clientCases } from './h2-client-cases.ts';

function codeOf(frames: readonly Frame[], type: number): number | undefined {
  const found = frames.find((each) => each.type === type);
  return found?.payload.readUInt32BE(type === 7 ? 4 : 0);
}

function run(each: ClientCase, split: boolean): void {
  const { peer, client, owner } = playServer();
  const response = new RecordedResponse();
  client.request(requestHead({ method: each.method ?? 'GET' }), true, response);
  const [head] = peer.turn();
  assert.equal(head?.type, 1, 'the request left');
  const bytes = Buffer.concat([...each.bytes, ping()]);
  if (split) for (let i = 0; i < bytes.length; i++) peer.conn.receive(bytes.subarray(i, i + 1));
  else peer.conn.receive(bytes);
  const frames = peer.turn();
  const { expect } = each;
  if ('connection' in expect) {
    const got = codeOf(frames, 7);
    assert.ok(got !== undefined && expect.connection.includes(got), `GOAWAY ${got}`);
    assert.equal(peer.conn.state, 'closed');
    assert.equal(owner.times('unavailable'), 1);
    assert.equal(client.available, 0);
    assert.ok(response.ended || response.aborted !== undefined);
    return;
  }
  assert.equal(codeOf(frames, 7), 'waiting' in expect || peer.conn.state === 'open' ? undefined : 0);
  if ('stream' in expect) {
    const got = codeOf(frames, 3);
    assert.ok(got !== undefined && expect.stream.includes(got), `RST_STREAM ${got}`);
    assert.equal(response.aborted?.code, 'malformed_message');
    assert.equal(response.aborted?.retry, 'never');
    assert.equal(response.ended, false);
  } else if ('answer' in expect) {
    assert.deepEqual([response.head?.status, response.body], expect.answer);
    assert.equal(response.ended, true);
    assert.equal(response.aborted, undefined);
    assert.equal(client.active, 0);
  } else if ('lost' in expect) {
    assert.equal(response.aborted?.retry, expect.lost);
    assert.equal(client.active, 0);
  } else {
    assert.equal(response.aborted, undefined);
    assert.equal(client.active, 1);
  }
}

describe('h2 client: frames', () => {
  for (const each of [...clientCases, ...answerCases]) it(each.name, () => run(each, false));
});

describe('h2 client: frames, byte by byte', () => {
  for (const each of [...clientCases, ...answerCases]) it(each.name, () => run(each, true));
});

describe('h2 client: the beginning', () => {
  for (const { name, bytes } of badServerBeginnings) {
    it(`refuses ${name} instead of SETTINGS`, () => {
      const peer = new ScriptedPeer(http2Bench());
      const owner = new RecordingOwner();
      peer.bench.codec.connect(peer.conn, owner, peer.bench.options(plain));
      peer.turn();
      const frames = peer.send(bytes);
      assert.ok([1, 6].includes(codeOf(frames, 7) ?? -1));
      assert.equal(owner.times('unavailable'), 1);
      peer.conn.lose();
      assert.match(owner.error?.message ?? '', /^(?:PROTOCOL|FRAME_SIZE)_ERROR: /);
      assert.equal(owner.error?.retry, 'always');
    });
  }

  it('begins with the preface and SETTINGS that forbid push', () => {
    const peer = new ScriptedPeer(http2Bench());
    peer.bench.codec.connect(peer.conn, new RecordingOwner(), peer.bench.options(plain));
    peer.bench.flusher.turn();
    const written = peer.conn.takeWritten();
    assert.equal(written.toString('latin1', 0, 24), 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    assert.equal(written[24 + 3], 4);
    assert.ok(written.includes(Buffer.from([0, 2, 0, 0, 0, 0])));
  });
});
