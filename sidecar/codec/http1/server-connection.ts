// hot: every request.
/**
 * One downstream connection on HTTP/1.1: heads and bodies in, one exchange at a time, responses in order.
 *
 *   idle ──bytes──▶ head ──complete──▶ busy ──response ended──▶ idle
 *                     └─ refused, 408 ──▶ closing      busy ──101──▶ tunnel
 *
 * Bytes that come while a request that is read to its end waits for its answer are held, up to a limit; then the
 * socket is no longer read.
 */
import { MeshError } from '../../../kit/errors.ts';
import type { Conn, ConnHandler } from '../../net/conn.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../../net/timer-wheel.ts';
import type { CodecOptions, RequestAcceptor, ResponseHead, ServerConnection } from '../codec.ts';
import type { FieldMemo } from '../field-memo.ts';
import { BodyReader } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { cr, lf } from './chars.ts';
import type { ChunkSink } from './chunked-body.ts';
import { noLength } from './framing.ts';
import { HeadCarry } from './head-carry.ts';
import { limits } from './limits.ts';
import { noAnswer, Refusal } from './refusal.ts';
import { type RequestContext, RequestParser } from './request-head.ts';
import { refusalText } from './serialize.ts';
import { Http1ServerStream, type StreamOwner } from './server-stream.ts';

type State = 'idle' | 'head' | 'busy' | 'tunnel' | 'closing' | 'closed';
/** What the one timer was armed for; it is looked at again when it fires. */
type Wait = 'idle' | 'head' | 'body' | 'continue' | 'write';

const carryLimits = () => ({
  maxBytes: limits.maxHeadBytes,
  startLine: true,
  maxEmptyLines: limits.maxLeadingEmptyLines,
});
const headMethod = Buffer.from('HEAD ', 'latin1');
const continueHead = { status: 100, fields: [], contentLength: -1 };
const notDraining = Number.POSITIVE_INFINITY;
const plainContext: RequestContext = { scheme: 'http', link: false };

export class Http1ServerConnection
  implements ServerConnection, ConnHandler, TimerOwner, ChunkSink, StreamOwner
{
  readonly conn: Conn;
  readonly writer = new BodyWriter();
  readonly #acceptor: RequestAcceptor;
  readonly #options: CodecOptions;
  readonly #parser: RequestParser;
  readonly #context: RequestContext;
  readonly #reader = new BodyReader();
  readonly #timer = new WheelTimer(this);
  #state: State = 'idle';
  #wait: Wait = 'idle';
  #stream: Http1ServerStream | undefined = undefined;
  #carry: HeadCarry | undefined = undefined;
  #emptyLines = 0;
  #held: Buffer[] | undefined = undefined;
  #heldBytes = 0;
  /** The client sent FIN. */
  #inputEnded = false;
  /** How long an idle connection is still kept; `notDraining` while everything goes its way. */
  #drainMs = notDraining;
  /** What came before we drained is answered first, and nothing more is read meanwhile. */
  #isReadingOut = false;
  #closesAfter = false;
  #isConsuming = false;
  /** Body bytes of this window, -1 where we did not read all the time. */
  #windowBytes = 0;
  #isPaused = false;
  #unsentBefore = 0;

  constructor(conn: Conn, acceptor: RequestAcceptor, options: CodecOptions) {
    this.conn = conn;
    this.#acceptor = acceptor;
    this.#options = options;
    this.#parser = parserFor(options.memo);
    const isTls = conn.peer.tls !== undefined;
    this.#context =
      isTls || options.link ? { scheme: isTls ? 'https' : 'http', link: options.link } : plainContext;
    this.#arm('idle', limits.headMs);
    conn.setHandler(this);
  }

  decideClose(head: ResponseHead, end: boolean): boolean {
    const stream = this.#stream;
    if (stream?.requestState === 'body') {
      // RFC 9110 §10.1.1: a client that was not told to go on may or may not send its body after all. And who answers
      // now, in one piece or with a refusal, will not read what is left of it (RFC 9112 §9.6).
      if (stream.awaitsContinue || end || head.status >= 400) this.#closesAfter = true;
    }
    if (this.#held === undefined && (this.#inputEnded || this.#drainMs !== notDraining))
      this.#closesAfter = true;
    return this.#closesAfter;
  }

  drain(patienceMs: number = limits.drainIdleMs): void {
    if (patienceMs >= this.#drainMs) return;
    this.#drainMs = patienceMs;
    // A request may be on its way on an idle connection: it is still answered, with `connection: close`.
    if (this.#state === 'idle') this.#arm('idle', patienceMs);
    else if (this.#held !== undefined && !this.#isReadingOut) {
      this.#isReadingOut = true;
      this.conn.pause();
    }
  }

  destroy(error: MeshError): void {
    this.cut(error);
  }

  cut(error: MeshError): void {
    const { mode } = this.writer;
    // Where the connection's end is that of the body, it must not look like one.
    if (mode === 'until_close' || mode === 'tunnel') this.conn.reset(error);
    else this.conn.destroy(error);
  }

  onData(chunk: Buffer): void {
    if (this.#state === 'tunnel') this.#stream?.receiver?.onRequestData(chunk);
    else if (this.#held !== undefined) this.#hold(chunk);
    else this.#consume(chunk, 0);
  }

  onEnd(): void {
    this.#inputEnded = true;
    const stream = this.#stream;
    if (this.#state === 'tunnel') this.#endTunnelInput();
    else if (this.#state === 'idle') this.#close();
    else if (this.#state === 'head' || stream?.requestState === 'body') {
      this.#refuse(new Refusal(400, 'connection ended inside a request'));
    }
  }

  onWritable(): void {
    const stream = this.#stream;
    if (stream !== undefined && stream.responseState !== 'dead') stream.receiver?.onResponseWritable();
  }

  onClosed(error: MeshError | undefined): void {
    this.#state = 'closed';
    this.#options.timers.disarm(this.#timer);
    this.#held = undefined;
    this.#carry = undefined;
    this.#abortStream(error ?? new MeshError('connection_closed', 'client closed', { origin: 'downstream' }));
    this.#acceptor.onConnectionClosed();
  }

  onBodyData(data: Buffer): void {
    if (this.#windowBytes >= 0) this.#windowBytes += data.length;
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.awaitsContinue = false;
    stream.receiver?.onRequestData(data);
  }

  onResponseEnded(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    // RFC 9112 §9.3: what is left of the body would be taken for a request; the rest is read and dropped, bounded.
    const isLast = this.#closesAfter || (this.#inputEnded && this.#held === undefined);
    if (stream.requestState === 'body' || isLast) {
      this.#close();
      return;
    }
    this.#stream = undefined;
    this.#state = 'idle';
    // A response whose head left before we drained has promised to take one more request.
    this.#arm('idle', Math.min(this.#options.idleMs, this.#drainMs));
    if (this.#held !== undefined && !this.#isConsuming) this.#consumeHeld();
  }

  onSwitched(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#state = 'tunnel';
    stream.requestState = 'body';
    const held = this.#takeHeld();
    for (const bytes of held) stream.receiver?.onRequestData(bytes);
    this.#readOn();
    if (this.#inputEnded) this.#endTunnelInput();
  }

  onFull(): void {
    if (this.#stream?.requestState === 'body' && this.#state === 'busy') return;
    this.#unsentBefore = this.conn.unsentBytes;
    this.#arm('write', limits.writeStallMs);
  }

  pauseBody(): void {
    this.#isPaused = true;
    this.#windowBytes = -1;
    this.conn.pause();
  }

  resumeBody(): void {
    this.#isPaused = false;
    this.conn.resume();
  }

  onTimer(): void {
    if (this.#wait === 'idle' && this.#state === 'idle') this.#close();
    else if (this.#wait === 'head' && this.#state === 'head') {
      this.#refuse(new Refusal(408, 'request head took too long'));
    } else if (this.#wait === 'continue') this.#continue();
    else if (this.#wait === 'body') this.#checkRate();
    else if (this.#wait === 'write') this.#checkStall();
  }

  #consume(bytes: Buffer, start: number): void {
    let at = start;
    this.#isConsuming = true;
    try {
      while (at < bytes.length) at = this.#step(bytes, at);
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      this.#refuse(thrown);
    } finally {
      this.#isConsuming = false;
    }
  }

  /** Takes what the state can use, at least one byte, and returns the position after it. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case 'idle':
        return this.#head(bytes, at);
      case 'head':
        return this.#carriedHead(bytes, at);
      case 'busy':
        if (this.#stream?.requestState === 'body') return this.#body(bytes, at);
        this.#hold(at === 0 ? bytes : bytes.subarray(at));
        return bytes.length;
      case 'tunnel':
        this.#stream?.receiver?.onRequestData(bytes.subarray(at));
        return bytes.length;
      default:
        return bytes.length;
    }
  }

  #head(bytes: Buffer, start: number): number {
    let at = start;
    // RFC 9112 §2.2: empty lines before a request line are skipped, but not for ever.
    while (bytes[at] === cr && bytes[at + 1] === lf) {
      if (++this.#emptyLines > limits.maxLeadingEmptyLines)
        throw new Refusal(400, 'empty lines before a request');
      at += 2;
    }
    if (at === bytes.length) return at;
    const end = this.#wholeHead(bytes, at);
    if (end > 0) {
      this.#begin();
      return end;
    }
    this.#carry = new HeadCarry(carryLimits(), this.#emptyLines);
    this.#state = 'head';
    this.#arm('head', limits.headMs);
    return this.#carriedHead(bytes, at);
  }

  /** The position after the head, or -1 where this chunk alone does not decide about it. */
  #wholeHead(bytes: Buffer, at: number): number {
    try {
      return this.#parser.parse(bytes, at, this.#context);
    } catch (thrown) {
      // Whatever is wrong is found again, and in the same way as if the head had come in pieces.
      if (thrown instanceof Refusal) return -1;
      throw thrown;
    }
  }

  #carriedHead(bytes: Buffer, at: number): number {
    const carry = this.#carry as HeadCarry;
    const linesBefore = carry.lineCount;
    let end = -1;
    let fault: unknown;
    try {
      end = carry.add(bytes, at);
    } catch (thrown) {
      fault = thrown;
    }
    if (end < 0) {
      // A bad line is refused as soon as it is complete, be it before another fault; the client may never send the rest.
      if (carry.lineCount > linesBefore) this.#parser.parse(carry.completeLines, 0, this.#context);
      if (fault !== undefined) throw fault;
      return bytes.length;
    }
    if (this.#parser.parse(carry.bytes, 0, this.#context) < 0) throw new Refusal(400, 'request head');
    this.#carry = undefined;
    this.#begin();
    return end;
  }

  /** The parser holds a whole head: the exchange begins. */
  #begin(): void {
    const parser = this.#parser;
    const head = parser.head as NonNullable<typeof parser.head>;
    const hasBody = this.#reader.begin(parser.framing === noLength ? 0 : parser.framing, this.#options.memo);
    const isUpgrade = head.protocol !== undefined;
    const requestState = hasBody ? 'body' : isUpgrade ? 'held' : 'none';
    const stream = new Http1ServerStream(this, head, parser.minorVersion, requestState);
    this.#emptyLines = 0;
    this.#state = 'busy';
    this.#stream = stream;
    this.#closesAfter = parser.close;
    if (hasBody) this.#beginBody(stream.awaitsContinue);
    const receiver = this.#acceptor.onRequest(stream, head, !hasBody && !isUpgrade);
    if (this.#stream === stream) stream.receiver = receiver;
  }

  #beginBody(awaitsContinue: boolean): void {
    this.#windowBytes = 0;
    if (awaitsContinue) this.#arm('continue', limits.continueMs);
    else this.#arm('body', limits.bodyMs);
  }

  #body(bytes: Buffer, at: number): number {
    const end = this.#reader.feed(bytes, at, this);
    const stream = this.#stream;
    if (this.#reader.isEnded && stream !== undefined && stream.requestState === 'body') {
      stream.requestState = 'none';
      // Whoever paused it in the middle of this chunk has no more reason, and the socket must be heard.
      if (this.#isPaused) this.resumeBody();
      stream.receiver?.onRequestEnd(this.#reader.trailers);
    }
    return end;
  }

  #hold(bytes: Buffer): void {
    if (this.#held === undefined) this.#held = [bytes];
    else this.#held.push(bytes);
    const before = this.#heldBytes;
    this.#heldBytes += bytes.length;
    if (before <= limits.maxPipelinedBytes && this.#heldBytes > limits.maxPipelinedBytes) this.conn.pause();
  }

  #takeHeld(): Buffer[] {
    const held = this.#held ?? [];
    if (this.#heldBytes > limits.maxPipelinedBytes) this.conn.resume();
    this.#held = undefined;
    this.#heldBytes = 0;
    return held;
  }

  /** Goes on with what came during the last exchange; what it does not take is held again. */
  #consumeHeld(): void {
    const held = this.#takeHeld();
    for (const bytes of held) {
      if (this.#held !== undefined) this.#hold(bytes);
      else this.#consume(bytes, 0);
    }
    if (this.#held === undefined) this.#readOn();
    if (!this.#inputEnded || this.#held !== undefined) return;
    if (this.#state === 'idle') this.#close();
    else if (this.#state === 'head' || this.#stream?.requestState === 'body') {
      this.#refuse(new Refusal(400, 'connection ended inside a request'));
    }
  }

  /** All that came before the drain was taken. */
  #readOn(): void {
    if (!this.#isReadingOut) return;
    this.#isReadingOut = false;
    if (!this.#isPaused) this.conn.resume();
  }

  #endTunnelInput(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.requestState !== 'body') return;
    stream.requestState = 'none';
    stream.receiver?.onRequestEnd(undefined);
  }

  /** Says what is wrong, if a response can still be begun, and closes so that it can be read. */
  #refuse(refusal: Refusal): void {
    const stream = this.#stream;
    const responseBegan = stream !== undefined && stream.responseState !== 'waiting';
    const isHead = stream?.isHead ?? this.#carry?.beginsWith(headMethod) ?? false;
    this.#carry = undefined;
    if (stream === undefined) this.#acceptor.onRefused(refusal.status, refusal);
    this.#abortStream(refusal);
    if (responseBegan) {
      this.#state = 'closing';
      this.cut(refusal);
      return;
    }
    if (refusal.status !== noAnswer)
      this.conn.writeText(refusalText(refusal.status, refusal.message, isHead));
    this.#close();
  }

  #abortStream(error: MeshError): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    const isOver = stream.responseState === 'dead' && stream.requestState !== 'body';
    stream.responseState = 'dead';
    stream.requestState = 'none';
    if (!isOver) stream.receiver?.onRequestAborted(error);
  }

  #close(): void {
    this.#state = 'closing';
    this.#held = undefined;
    const stream = this.#stream;
    if (stream !== undefined) {
      // The response is complete; the receiver hears no more of a body that nobody will read.
      this.#stream = undefined;
      stream.requestState = 'none';
    }
    this.#options.timers.disarm(this.#timer);
    this.conn.close();
  }

  #continue(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.sendInformational(continueHead);
    if (stream.requestState === 'body') this.#arm('body', limits.bodyMs);
  }

  #checkRate(): void {
    if (this.#state !== 'busy' || this.#stream?.requestState !== 'body') return;
    const least = (limits.minBodyBytesPerSecond * limits.bodyMs) / 1000;
    if (this.#windowBytes >= 0 && this.#windowBytes < least) {
      this.#refuse(new Refusal(408, 'request body comes too slowly'));
      return;
    }
    this.#windowBytes = this.#isPaused ? -1 : 0;
    this.#arm('body', limits.bodyMs);
  }

  #checkStall(): void {
    const unsent = this.conn.unsentBytes;
    if ((this.#state !== 'busy' && this.#state !== 'tunnel') || unsent === 0) return;
    if (unsent >= this.#unsentBefore) {
      this.cut(new MeshError('idle_timeout', 'client does not read', { origin: 'downstream' }));
      return;
    }
    this.#unsentBefore = unsent;
    this.#arm('write', limits.writeStallMs);
  }

  #arm(wait: Wait, delayMs: number): void {
    this.#wait = wait;
    const timers: TimerWheel = this.#options.timers;
    timers.arm(this.#timer, delayMs);
  }
}

/** One parser per memo: what it learns from one connection serves all. */
const parsers = new WeakMap<FieldMemo, RequestParser>();

function parserFor(memo: FieldMemo): RequestParser {
  const known = parsers.get(memo);
  if (known !== undefined) return known;
  const parser = new RequestParser(memo);
  parsers.set(memo, parser);
  return parser;
}
