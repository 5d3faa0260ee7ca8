/** The HTTP/2 codec on a `FakeConn`, with a test as its peer that speaks in frames. */

import type { MeshError } from '../../kit/errors.ts';
import type {
  ClientConnection,
  ClientConnectionOwner,
  Codec,
  CodecOptions,
  RequestAcceptor,
  RequestHead,
  RequestReceiver,
  ResponseHead,
  ResponseReceiver,
  ServerConnection,
  ServerStream,
} from '../../sidecar/codec/codec.ts';
import type { Field } from '../../sidecar/codec/field.ts';
import { FieldMemo } from '../../sidecar/codec/field-memo.ts';
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts';
import { createHttp2Codec } from '../../sidecar/codec/http2/http2-codec.ts';
import { WindowBudget } from '../../sidecar/codec/http2/window.ts';
import { TimerWheel } from '../../sidecar/net/timer-wheel.ts';
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

/** What one request's receiver heard, in order. */
export class RecordedRequest implements RequestReceiver {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly endAtOnce: boolean;
  readonly chunks: Buffer[] = [];
  ended = false;
  trailers: readonly Field[] | undefined;
  aborted: MeshError | undefined;
  writable = 0;

  constructor(stream: ServerStream, head: RequestHead, end: boolean) {
    this.stream = stream;
    this.head = head;
    this.endAtOnce = end;
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  onRequestData(chunk: Buffer): void {
    this.chunks.push(chunk);
  }
  onRequestEnd(trailers: readonly Field[] | undefined): void {
    this.ended = true;
    this.trailers = trailers;
  }
  onRequestAborted(error: MeshError): void {
    this.aborted = error;
  }
  onResponseWritable(): void {
    this.writable++;
  }
}

export class RecordingAcceptor implements RequestAcceptor {
  readonly requests: RecordedRequest[] = [];
  readonly refused: number[] = [];
  floods = 0;
  closed = 0;
  /** Called for each request, inside `onRequest`. */
  answer: ((request: RecordedRequest) => void) | undefined;

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): RequestReceiver {
    const request = new RecordedRequest(stream, head, end);
    this.requests.push(request);
    this.answer?.(request);
    return request;
  }
  onRefused(status: number): void {
    this.refused.push(status);
  }
  onFlooded(): void {
    this.floods++;
  }
  onConnectionClosed(): void {
    this.closed++;
  }
}

export class RecordedResponse implements ResponseReceiver {
  readonly informational: ResponseHead[] = [];
  head: ResponseHead | undefined;
  readonly chunks: Buffer[] = [];
  ended = false;
  trailers: readonly Field[] | undefined;
  aborted: MeshError | undefined;
  writable = 0;

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  onInformational(head: ResponseHead): void {
    this.informational.push(head);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    this.ended = end;
  }
  onResponseData(chunk: Buffer): void {
    this.chunks.push(chunk);
  }
  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.ended = true;
    this.trailers = trailers;
  }
  onResponseAborted(error: MeshError): void {
    this.aborted = error;
  }
  onRequestWritable(): void {
    this.writable++;
  }
}

export class RecordingOwner implements ClientConnectionOwner {
  available = 0;
  unavailable = 0;
  closed = 0;
  error: MeshError | undefined;

  onAvailable(): void {
    this.available++;
  }
  onUnavailable(): void {
    this.unavailable++;
  }
  onClosed(_connection: ClientConnection, error: MeshError | undefined): void {
    this.closed++;
    this.error = error;
  }
}

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
