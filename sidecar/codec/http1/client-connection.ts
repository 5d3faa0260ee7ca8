// hot: every request.
/**
 * One upstream connection on HTTP/1.1: one request in flight, and used again only where nothing is in doubt
 * (RFC 9112 §9.3): request written to its end, response framed and read to its end, no byte left over, neither side
 * said close.
 *
 *   idle ──request──▶ busy ──both ended──▶ idle
 *     └─ a byte, FIN ──▶ closed      busy ──101──▶ tunnel ──▶ closed
 */
import { MeshError } from '../../../kit/errors.ts';
import type { Conn, ConnHandler } from '../../net/conn.ts';
import { type TimerOwner, WheelTimer } from '../../net/timer-wheel.ts';
import type {
  ClientConnection,
  ClientConnectionOwner,
  ClientStream,
  CodecOptions,
  RequestHead,
  ResponseHead,
  ResponseReceiver,
} from '../codec.ts';
import type { Field } from '../field.ts';
import type { FieldMemo } from '../field-memo.ts';
import { BodyReader } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import type { ChunkSink } from './chunked-body.ts';
import { HeadCarry } from './head-carry.ts';
import { limits } from './limits.ts';
import { Refusal, upstreamFault } from './refusal.ts';
import { ResponseParser } from './response-head.ts';
import { requestMode, requestText } from './serialize.ts';
import { addWebSocketKey } from './web-socket.ts';

type State = 'idle' | 'busy' | 'tunnel' | 'closed';
/** What the owner was told last. */
type Told = 'available' | 'unavailable' | 'closed';

const carryLimits = () => ({ maxBytes: limits.maxHeadBytes, startLine: true, maxEmptyLines: 0 });

export class Http1ClientConnection implements ClientConnection, ConnHandler, TimerOwner, ChunkSink {
  readonly conn: Conn;
  /** A request was answered on it before, so it may have died unseen. */
  #hasAnswered = false;
  readonly #owner: ClientConnectionOwner;
  readonly #options: CodecOptions;
  readonly #parser: ResponseParser;
  readonly #reader = new BodyReader();
  readonly #writer = new BodyWriter();
  readonly #timer = new WheelTimer(this);
  #state: State = 'idle';
  #told: Told = 'available';
  #draining = false;
  #isPaused = false;
  #stream: Http1ClientStream | undefined = undefined;
  #carry: HeadCarry | undefined = undefined;
  #informational = 0;
  /** What came for a tunnel before its 101: until then the upstream would read it as its next request. */
  #early: Buffer[] = [];

  constructor(conn: Conn, owner: ClientConnectionOwner, options: CodecOptions) {
    this.conn = conn;
    this.#owner = owner;
    this.#options = options;
    this.#parser = parserFor(options.memo);
    options.timers.arm(this.#timer, options.idleMs);
    conn.setHandler(this);
  }

  get available(): number {
    return this.#state === 'idle' && this.#told === 'available' && !this.#draining ? 1 : 0;
  }

  get active(): number {
    return this.#state === 'busy' || this.#state === 'tunnel' ? 1 : 0;
  }

  request(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const stream = new Http1ClientStream(this, head, receiver, end);
    const mode = requestMode(head, end);
    if (mode === 'tunnel') addWebSocketKey(head);
    this.#stream = stream;
    this.#state = 'busy';
    this.#informational = 0;
    this.#writer.begin(mode, head.contentLength);
    this.conn.writeText(requestText(head, mode));
    return stream;
  }

  drain(): void {
    this.#draining = true;
    this.#tellUnavailable();
    if (this.#state === 'idle') this.conn.close();
  }

  destroy(error: MeshError): void {
    this.conn.destroy(error);
  }

  onData(chunk: Buffer): void {
    const stream = this.#stream;
    if (this.#state === 'tunnel') stream?.receiver.onResponseData(chunk);
    else if (this.#state === 'busy' && stream !== undefined) this.#consume(chunk, stream);
    // RFC 9112 §9.2: an answer that nobody asked for could be taken for the next one.
    else this.conn.destroy(new MeshError('malformed_message', 'unasked bytes', { origin: 'upstream' }));
  }

  onEnd(): void {
    const stream = this.#stream;
    if (stream === undefined) {
      this.#tellUnavailable();
      this.conn.close();
    } else if (this.#state === 'tunnel') {
      if (stream.responseState === 'body') {
        stream.responseState = 'dead';
        stream.receiver.onResponseEnd(undefined);
      }
    } else if (stream.responseState === 'body' && this.#reader.endsByClose) this.#responseEnded(stream);
    else this.conn.destroy(this.#cutShort(stream, undefined));
  }

  onWritable(): void {
    const stream = this.#stream;
    if (stream?.requestState === 'body' && !this.#awaitsSwitch) stream.receiver.onRequestWritable();
  }

  onClosed(error: MeshError | undefined): void {
    const stream = this.#stream;
    this.#state = 'closed';
    this.#stream = undefined;
    this.#carry = undefined;
    this.#options.timers.disarm(this.#timer);
    this.#tellUnavailable();
    if (stream !== undefined && stream.responseState !== 'dead') {
      stream.responseState = 'dead';
      stream.receiver.onResponseAborted(this.#cutShort(stream, error));
    }
    this.#told = 'closed';
    this.#owner.onClosed(this, error);
  }

  onBodyData(data: Buffer): void {
    const stream = this.#stream;
    if (stream?.responseState === 'body') stream.receiver.onResponseData(data);
  }

  onTimer(): void {
    if (this.#state !== 'idle') return;
    this.#tellUnavailable();
    this.conn.close();
  }

  /** For the stream only, like the four below. */
  send(stream: Http1ClientStream, chunk: Buffer): boolean {
    if (stream !== this.#stream || stream.requestState === 'done') return true;
    if (this.#awaitsSwitch) {
      this.#early.push(chunk);
      return false;
    }
    if (!this.#writer.write(this.conn, chunk)) {
      this.conn.destroy(
        new MeshError('internal', 'request body is longer than declared', { origin: 'local' }),
      );
      return true;
    }
    return !this.conn.isFull;
  }

  sendEnd(stream: Http1ClientStream, trailers: readonly Field[] | undefined): void {
    if (stream !== this.#stream || stream.requestState === 'done') return;
    stream.requestState = 'done';
    if (!this.#writer.end(this.conn, trailers)) {
      this.conn.destroy(
        new MeshError('internal', 'request body is shorter than declared', { origin: 'local' }),
      );
    } else if (this.#state === 'tunnel') this.conn.finish();
  }

  cancel(stream: Http1ClientStream, error: MeshError): void {
    if (stream !== this.#stream) return;
    stream.responseState = 'dead';
    stream.requestState = 'done';
    this.#tellUnavailable();
    this.conn.destroy(error);
  }

  pause(stream: Http1ClientStream): void {
    if (stream !== this.#stream || this.#isPaused) return;
    this.#isPaused = true;
    this.conn.pause();
  }

  resume(stream: Http1ClientStream): void {
    if (stream !== this.#stream || !this.#isPaused) return;
    this.#isPaused = false;
    this.conn.resume();
  }

  /** Whether a tunnel was asked for that the upstream has not agreed to. */
  get #awaitsSwitch(): boolean {
    return this.#state === 'busy' && this.#writer.mode === 'tunnel';
  }

  #openTunnel(stream: Http1ClientStream, head: ResponseHead): void {
    this.#state = 'tunnel';
    stream.responseState = 'body';
    this.#tellUnavailable();
    stream.receiver.onResponse(head, false);
    const early = this.#early;
    this.#early = [];
    if (stream !== this.#stream) return;
    for (const chunk of early) this.conn.write(chunk);
    if (stream.requestState === 'done') this.conn.finish();
    else if (early.length > 0 && !this.conn.isFull) stream.receiver.onRequestWritable();
  }

  #consume(bytes: Buffer, stream: Http1ClientStream): void {
    let at = 0;
    try {
      while (at < bytes.length) {
        if (stream !== this.#stream) return;
        if (stream.responseState === 'waiting') at = this.#head(bytes, at, stream);
        else if (this.#state === 'tunnel') {
          stream.receiver.onResponseData(bytes.subarray(at));
          return;
        } else at = this.#reader.feed(bytes, at, this);
        if (stream.responseState === 'body' && this.#state === 'busy' && this.#reader.isEnded) {
          this.#retireAfterLeftover(at < bytes.length);
          this.#responseEnded(stream);
        }
      }
    } catch (thrown) {
      const error = upstreamFault(thrown);
      this.#tellUnavailable();
      this.conn.destroy(error);
    }
  }

  #head(bytes: Buffer, at: number, stream: Http1ClientStream): number {
    stream.gotBytes = true;
    let end = this.#carry === undefined ? this.#wholeHead(bytes, at, stream) : -1;
    if (end < 0) {
      end = this.#carriedHead(bytes, at, stream);
      if (end < 0) return bytes.length;
    }
    this.#interpret(stream, end < bytes.length);
    return end;
  }

  /** The position after the head, or -1 where this chunk alone does not decide about it. */
  #wholeHead(bytes: Buffer, at: number, stream: Http1ClientStream): number {
    try {
      return this.#parser.parse(bytes, at, stream);
    } catch (thrown) {
      // Whatever is wrong is found again, and in the same way as if the head had come in pieces.
      if (thrown instanceof Refusal) return -1;
      throw thrown;
    }
  }

  #carriedHead(bytes: Buffer, at: number, stream: Http1ClientStream): number {
    this.#carry ??= new HeadCarry(carryLimits());
    const carry = this.#carry;
    const linesBefore = carry.lineCount;
    const end = carry.add(bytes, at);
    if (end < 0) {
      if (carry.lineCount > linesBefore) this.#parser.parse(carry.completeLines, 0, stream);
      return -1;
    }
    this.#carry = undefined;
    if (this.#parser.parse(carry.bytes, 0, stream) < 0) throw new Refusal(400, 'response head');
    return end;
  }

  #interpret(stream: Http1ClientStream, leftover: boolean): void {
    const { head, framing, close } = this.#parser;
    const { status } = head;
    if (status === 101) this.#openTunnel(stream, head);
    else if (status < 200) {
      if (++this.#informational > limits.maxInformational) {
        throw new MeshError('malformed_message', 'too many 1xx responses', { origin: 'upstream' });
      }
      stream.receiver.onInformational(head);
    } else {
      if (close) this.#tellUnavailable();
      // Whatever was asked for, it is not a tunnel; the request has ended with its head.
      if (this.#writer.mode === 'tunnel') stream.requestState = 'done';
      this.#early = [];
      stream.responseState = 'body';
      if (this.#reader.begin(framing, this.#options.memo)) stream.receiver.onResponse(head, false);
      else {
        this.#retireAfterLeftover(leftover);
        stream.responseState = 'dead';
        stream.receiver.onResponse(head, true);
        this.#finish(stream);
      }
    }
  }

  #responseEnded(stream: Http1ClientStream): void {
    stream.responseState = 'dead';
    stream.receiver.onResponseEnd(this.#reader.trailers);
    this.#finish(stream);
  }

  /** RFC 9112 §9.2: bytes after a response poison the connection. */
  #retireAfterLeftover(leftover: boolean): void {
    if (leftover) this.#tellUnavailable();
  }

  /** The response has ended: the connection is free again, or of no more use. */
  #finish(stream: Http1ClientStream): void {
    if (stream !== this.#stream) return;
    const requestDone = stream.requestState === 'done';
    stream.requestState = 'done';
    this.#stream = undefined;
    this.#carry = undefined;
    if (!requestDone || this.#told !== 'available' || this.#draining) {
      this.#tellUnavailable();
      this.#state = 'closed';
      this.conn.destroy();
      return;
    }
    this.#state = 'idle';
    this.#hasAnswered = true;
    if (this.#isPaused) {
      this.#isPaused = false;
      this.conn.resume();
    }
    this.#options.timers.arm(this.#timer, this.#options.idleMs);
    this.#owner.onAvailable(this);
  }

  #tellUnavailable(): void {
    if (this.#told !== 'available') return;
    this.#told = 'unavailable';
    this.#owner.onUnavailable(this);
  }

  /** Why a response will not come to its end; only one of which nothing came may be asked for again. */
  #cutShort(stream: Http1ClientStream, error: MeshError | undefined): MeshError {
    if (error !== undefined && (!stream.gotBytes || error.retry === 'never')) return error;
    const message = stream.gotBytes
      ? 'upstream closed inside a response'
      : 'upstream closed without a response';
    return new MeshError(error?.code ?? 'connection_closed', message, {
      origin: 'upstream',
      retry: stream.gotBytes ? 'never' : this.#hasAnswered ? 'if_idempotent' : 'elsewhere',
      cause: error,
    });
  }
}

/** One request as it is sent on HTTP/1.1; a thin handle, for the connection has only one at a time. */
class Http1ClientStream implements ClientStream {
  readonly receiver: ResponseReceiver;
  /** What the response's framing depends on. */
  readonly method: string;
  readonly protocol: string | undefined;
  requestState: 'body' | 'done';
  /** `dead`: ended, or nobody is to hear of it any more. */
  responseState: 'waiting' | 'body' | 'dead' = 'waiting';
  /** Whether anything of the response came: from then on the request is never sent again. */
  gotBytes = false;
  readonly #connection: Http1ClientConnection;

  constructor(
    connection: Http1ClientConnection,
    head: RequestHead,
    receiver: ResponseReceiver,
    end: boolean,
  ) {
    this.#connection = connection;
    this.receiver = receiver;
    this.method = head.method;
    this.protocol = head.protocol;
    this.requestState = end ? 'done' : 'body';
  }

  sendData(chunk: Buffer): boolean {
    return this.#connection.send(this, chunk);
  }

  sendEnd(trailers: readonly Field[] | undefined): void {
    this.#connection.sendEnd(this, trailers);
  }

  cancel(error: MeshError): void {
    this.#connection.cancel(this, error);
  }

  pauseResponse(): void {
    this.#connection.pause(this);
  }

  resumeResponse(): void {
    this.#connection.resume(this);
  }
}

/** One parser per memo: what it learns from one connection serves all. */
const parsers = new WeakMap<FieldMemo, ResponseParser>();

function parserFor(memo: FieldMemo): ResponseParser {
  const known = parsers.get(memo);
  if (known !== undefined) return known;
  const parser = new ResponseParser(memo);
  parsers.set(memo, parser);
  return parser;
}
