/** RFC 9113 and RFC 7541 as a peer of our server sees them, frame by frame. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecordingAcceptor } from '../support/codec-recorders.ts';
import { block, type Frame, headers, ping, preface, readFrames, settings } from '../support/http2-frames.ts';
import { http2Bench, plain, playClient, ScriptedPeer } from '../support/http2-peer.ts';
import { type Case, code, type Expected, serverCases } from './h2-cases.ts';
import { badBeginnings, badBlocks, badRequests, messageCases } from './h2-messages.ts';

const goawayType = 7;
const resetType = 3;

function goawayCode(frames: readonly Frame[]): number | undefined {
  return frames.find((each) => each.type === goawayType)?.payload.readUInt32BE(4);
}

function check(frames: readonly Frame[], expected: Expected, state: string, requests: number): void {
  if ('connection' in expected) {
    const got = goawayCode(frames);
    assert.ok(got !== undefined && expected.connection.includes(got), `GOAWAY ${got}`);
    assert.equal(state, 'closed');
  } else if ('stream' in expected) {
    const reset = frames.find((each) => each.type === resetType && each.stream === (expected.id ?? 1));
    const got = reset?.payload.readUInt32BE(0);
    assert.ok(got !== undefined && expected.stream.includes(got), `RST_STREAM ${got}`);
    assert.equal(state, 'open');
  } else {
    assert.equal(goawayCode(frames), undefined);
    assert.ok(
      frames.some((each) => each.type === 6 && each.flags === 1),
      'PING is answered',
    );
    assert.equal(requests, expected.requests);
  }
}

function run(each: Case, deliver: (peer: ScriptedPeer, bytes: Buffer) => Frame[]): void {
  const { peer, acceptor } = playClient();
  const frames = deliver(peer, Buffer.concat([...each.bytes, ping()]));
  check(frames, each.expect, peer.conn.state, acceptor.requests.length);
}

const whole = (peer: ScriptedPeer, bytes: Buffer): Frame[] => peer.send(bytes);

function byByte(peer: ScriptedPeer, bytes: Buffer): Frame[] {
  for (let i = 0; i < bytes.length; i++) peer.conn.receive(bytes.subarray(i, i + 1));
  return peer.turn();
}

describe('h2 server: frames', () => {
  for (const each of [...serverCases, ...messageCases]) {
    it(each.name, () => run(each, whole));
  }
});

describe('h2 server: frames, byte by byte', () => {
  for (const each of [...serverCases, ...messageCases]) {
    it(each.name, () => run(each, byByte));
  }
});

describe('h2 server: malformed requests are reset, and nothing of them is passed on', () => {
  for (const { name, lines, flags } of badRequests) {
    it(name, () => {
      const { peer, acceptor } = playClient();
      const frames = peer.send(headers(1, block(lines), flags ?? 5), ping());
      check(frames, { stream: [code.protocol] }, peer.conn.state, 0);
      assert.equal(acceptor.requests.length, 0);
      assert.deepEqual(acceptor.refused, [400]);
    });
  }
});

describe('h2 server: HPACK errors end the connection', () => {
  for (const { name, block: bytes } of badBlocks) {
    it(name, () => {
      const { peer, acceptor } = playClient();
      const frames = peer.send(headers(1, bytes), ping());
      check(frames, { connection: [code.compression] }, peer.conn.state, 0);
      assert.equal(acceptor.requests.length, 0);
    });
  }
});

describe('h2 server: the beginning', () => {
  for (const { name, bytes, codes } of badBeginnings) {
    it(`refuses ${name}`, () => {
      const peer = new ScriptedPeer(http2Bench());
      peer.bench.codec.serve(peer.conn, new RecordingAcceptor(), peer.bench.options(plain));
      const frames = peer.send(...bytes);
      check(frames, { connection: codes }, peer.conn.state, 0);
    });
  }

  it("sends SETTINGS first and acknowledges the client's", () => {
    const peer = new ScriptedPeer(http2Bench());
    peer.bench.codec.serve(peer.conn, new RecordingAcceptor(), peer.bench.options(plain));
    const [first] = peer.turn();
    assert.equal(first?.type, 4);
    assert.equal(first?.flags, 0);
    const answer = peer.send(preface, settings([[3, 5]]));
    assert.deepEqual(
      answer.map(({ type, flags, payload }) => [type, flags, payload.length]),
      [[4, 1, 0]],
    );
  });

  it('waits quietly for the rest of a preface', () => {
    const peer = new ScriptedPeer(http2Bench());
    peer.bench.codec.serve(peer.conn, new RecordingAcceptor(), peer.bench.options(plain));
    peer.turn();
    assert.deepEqual(peer.send(preface.subarray(0, 10)), []);
    assert.deepEqual(readFrames(Buffer.alloc(0)), []);
    assert.equal(peer.conn.state, 'open');
  });
});
