/** The HTTP/2 codec on a `FakeConn`, with a test as its peer that speaks in frames. */

import type {
  ClientConnection,
  Codec,
  CodecOptions,
  RequestHead,
  ResponseHead,
  ServerConnection,
} from '../../sidecar/codec/codec.ts';
import type { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts';
import { createHttp2Codec } from '../../sidecar/codec/http2/http2-codec.ts';
import { WindowBudget } from '../../sidecar/codec/http2/window.ts';
import { TimerWheel } from '../../sidecar/net/timer-wheel.ts';
import { RecordingAcceptor, RecordingOwner } from './codec-recorders.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeConn, ManualFlusher } from './fake-conn.ts';
import { type Frame, preface, readFrames, settings } from './http2-frames.ts';

export interface Http2Bench {
  readonly codec: Codec;
  readonly clock: FakeClock;
  readonly flusher: ManualFlusher;
  readonly windowBudget: WindowBudget;
  options(choice: Http2Options): CodecOptions;
}

export function http2Bench(windowBytes?: number): Http2Bench {
  const clock = new FakeClock();
  const flusher = new ManualFlusher();
  const windowBudget = new WindowBudget(windowBytes);
  const timers = new TimerWheel(clock);
  const codec = createHttp2Codec({ flusher, timers, random: () => 0.5, windowBudget });
  const memo = new FieldMemo(1);
  return { codec, clock, flusher, windowBudget, options: (choice) => ({ ...choice, timers, memo }) };
}

/** The parts of the codec's options that tests vary. */
export interface Http2Options {
  readonly link: boolean;
  readonly idleMs: number;
}

export const link: Http2Options = { link: true, idleMs: 3_600_000 };
export const plain: Http2Options = { link: false, idleMs: 3_600_000 };

/** A request as a test writes it. */
export function requestHead(init: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'orders.shop',
    path: '/a',
    fields: [],
    contentLength: -1,
    protocol: undefined,
    expectContinue: false,
    acceptsTrailers: false,
    ...init,
  };
}

export function responseHead(status = 200, fields: Field[] = [], contentLength = -1): ResponseHead {
  return { status, fields, contentLength };
}

/** The peer's side of a codec under test: sends bytes, ends turns, reads frames. */
export class ScriptedPeer {
  readonly conn = new FakeConn();
  readonly bench: Http2Bench;
  /** All frames that the codec wrote so far. */
  readonly seen: Frame[] = [];
  readonly #decoder = new HpackDecoder(16_384);

  constructor(bench: Http2Bench) {
    this.bench = bench;
  }

  /** Sends, ends the turn, and returns what was answered. */
  send(...parts: Buffer[]): Frame[] {
    this.conn.receive(Buffer.concat(parts));
    return this.turn();
  }

  turn(): Frame[] {
    this.bench.flusher.turn();
    const frames = readFrames(this.conn.takeWritten());
    this.seen.push(...frames);
    return frames;
  }

  /** The fields of a HEADERS frame as `name: value`; frames must be read in order. */
  read(frame: Frame): string[] {
    const lines: string[] = [];
    const sink = {
      onEntry(entry: { name: { text: string }; value: string }): void {
        lines.push(`${entry.name.text}: ${entry.value}`);
      },
    };
    this.#decoder.decode(frame.payload, 0, frame.payload.length, sink);
    return lines;
  }
}

export interface ScriptedClient {
  readonly peer: ScriptedPeer;
  readonly acceptor: RecordingAcceptor;
  readonly server: ServerConnection;
}

/** A server codec whose client the test plays; the preface and both SETTINGS are done. */
export function playClient(
  options = plain,
  peerSettings: readonly (readonly [number, number])[] = [],
): ScriptedClient {
  const peer = new ScriptedPeer(http2Bench());
  const acceptor = new RecordingAcceptor();
  const server = peer.bench.codec.serve(peer.conn, acceptor, peer.bench.options(options));
  peer.send(preface, settings(peerSettings), settings([], 1));
  return { peer, acceptor, server };
}

export interface ScriptedServer {
  readonly peer: ScriptedPeer;
  readonly owner: RecordingOwner;
  readonly client: ClientConnection;
}

/** A client codec whose server the test plays; the preface and both SETTINGS are done. */
export function playServer(
  options = plain,
  peerSettings: readonly (readonly [number, number])[] = [[8, 1]],
): ScriptedServer {
  const peer = new ScriptedPeer(http2Bench());
  const owner = new RecordingOwner();
  const client = peer.bench.codec.connect(peer.conn, owner, peer.bench.options(options));
  peer.turn();
  peer.send(settings(peerSettings), settings([], 1));
  return { peer, owner, client };
}
