import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../../kit/errors.ts';
import { RecordedResponse, RecordingAcceptor, RecordingOwner } from '../../../../support/codec-recorders.ts';
import { block, type Frame, headers, preface, settings } from '../../../../support/http2-frames.ts';
import {
  http2Bench,
  link,
  plain,
  playClient,
  requestHead,
  ScriptedPeer,
} from '../../../../support/http2-peer.ts';

const version = 0xf4d0;
const features = 0xf4d1;

const get = block([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'orders.shop'],
]);

/** What the first frame announces, by identifier. */
function announced(frames: readonly Frame[]): Map<number, number> {
  const [first] = frames;
  assert.equal(first?.type, 4);
  const entries = new Map<number, number>();
  const payload = first?.payload ?? Buffer.alloc(0);
  for (let at = 0; at < payload.length; at += 6)
    entries.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  return entries;
}

function serve(options: typeof link) {
  const peer = new ScriptedPeer(http2Bench());
  const acceptor = new RecordingAcceptor();
  peer.bench.codec.serve(peer.conn, acceptor, peer.bench.options(options));
  return { peer, acceptor };
}

function connect(options: typeof link) {
  const peer = new ScriptedPeer(http2Bench());
  const client = peer.bench.codec.connect(peer.conn, new RecordingOwner(), peer.bench.options(options));
  return { peer, client };
}

function assertRefused(frames: readonly Frame[]): void {
  const goaway = frames.find(({ type }) => type === 7)?.payload;
  assert.equal(goaway?.readUInt32BE(0), 0);
  assert.equal(goaway?.readUInt32BE(4), 1);
  assert.match(String(goaway?.subarray(8)), /link version 2, this sidecar speaks 1/);
}

describe('the settings of a link', () => {
  it('say version and features at its beginning, from both sides; those of other connections do not', () => {
    for (const { peer } of [serve(link), connect(link)]) {
      const entries = announced(peer.turn());
      assert.deepEqual([entries.get(version), entries.get(features)], [1, 7]);
    }
    for (const { peer } of [serve(plain), connect(plain)]) {
      const entries = announced(peer.turn());
      assert.deepEqual([entries.has(version), entries.has(features)], [false, false]);
    }
  });

  it('decide how a caller is told of an application that took all the time to connect', () => {
    for (const [known, code] of [
      [7, 10],
      [3, 7],
    ] as const) {
      const { peer, acceptor } = playClient(link, [[features, known]]);
      peer.send(headers(1, get));
      acceptor.requests[0]?.stream.reset(new MeshError('connect_timeout', 'slow', { origin: 'upstream' }));
      assert.deepEqual(
        peer.turn().map(({ type, payload }) => [type, payload.readUInt32BE(0)]),
        [[3, code]],
      );
    }
  });

  it('end a link whose other side speaks another version, and say why', () => {
    const served = serve(link);
    assertRefused(served.peer.send(preface, settings([[version, 2]])));
    const { peer, client } = connect(link);
    const response = new RecordedResponse();
    client.request(requestHead(), true, response);
    assertRefused(peer.send(settings([[version, 2]])));
    assert.match(response.aborted?.message ?? '', /link version 2/);
  });

  it('may say no version, and features that are not known yet', () => {
    for (const entries of [[], [[features, 0xffff_ffff]], [[version, 1]]] as const) {
      const { peer } = serve(link);
      const frames = peer.send(preface, settings(entries));
      assert.equal(
        frames.some(({ type }) => type === 7),
        false,
      );
    }
  });

  it('mean nothing on other connections', () => {
    const { peer } = serve(plain);
    const frames = peer.send(preface, settings([[version, 2]]));
    assert.equal(
      frames.some(({ type }) => type === 7),
      false,
    );
  });

  it('that name a smaller table and then the old one empty it, in one frame as in two', () => {
    for (const frames of [
      [
        settings([
          [1, 0],
          [1, 4096],
        ]),
      ],
      [settings([[1, 0]]), settings([[1, 4096]])],
    ]) {
      const { peer, acceptor } = playClient();
      acceptor.onEach = (request) => request.answer('', 299);
      const answers = [1, 3, 5].map((id) => peer.send(headers(id, get))[0] as Frame);
      // Known by now: the whole head is one index.
      assert.equal(answers[2]?.payload.length, 2);
      peer.send(...frames);
      const [next] = peer.send(headers(7, get));
      assert.match(next?.payload.toString('hex') ?? '', /^203fe11f/);
      for (const each of answers) peer.read(each);
      assert.ok(peer.read(next as Frame).includes(':status: 299'));
    }
  });
});
