// hot: one per request that we serve.
/** One request as the server side of a connection sees it. */
import { MeshError } from '../../../kit/errors.ts';
import type { RequestHead, RequestReceiver, ResponseHead, ServerStream } from '../codec.ts';
import { type Field, fieldValue } from '../field.ts';
import { faultCode, faultName } from './fault.ts';
import { beginHeaders, writeReset } from './frame.ts';
import { writeResponse } from './message-writer.ts';
import type { OutBuffer } from './out-buffer.ts';
import { type HeadWriter, Http2Stream, resetCodeOf, type StreamHost } from './stream.ts';
import { canSend } from './stream-state.ts';
import { asUpgradeAnswer } from './upgrade-answer.ts';

export class ServerHttp2Stream extends Http2Stream implements ServerStream {
  /** Set once the acceptor returned; the first frames may be answered before. */
  receiver: RequestReceiver | undefined = undefined;
  /** A CONNECT or extended CONNECT: bytes in both directions, each with an end of its own. */
  readonly isTunnel: boolean;
  readonly #isUpgrade: boolean;
  readonly #isHead: boolean;
  readonly #fields: readonly Field[];
  #informational: ResponseHead[] | undefined = undefined;
  #response: ResponseHead | undefined = undefined;

  constructor(host: StreamHost, id: number, sendWindow: number, head: RequestHead) {
    super(host, id, sendWindow);
    this.#isUpgrade = head.protocol !== undefined;
    this.isTunnel = this.#isUpgrade || head.method === 'CONNECT';
    this.#isHead = head.method === 'HEAD';
    this.#fields = head.fields;
    this.mayStall = host.isLink && this.isTunnel && !this.#isUpgrade;
    this.bodyLeft = head.contentLength;
  }

  override get carriesMessages(): boolean {
    return this.isTunnel || fieldValue(this.#fields, 'content-type')?.startsWith('application/grpc') === true;
  }

  sendInformational(head: ResponseHead): void {
    if (this.#response !== undefined || !canSend(this.state)) return;
    this.#informational ??= [];
    this.#informational.push(head);
    this.host.queueHead(this);
  }

  sendResponse(head: ResponseHead, end: boolean): void {
    if (this.#response !== undefined || !canSend(this.state)) return;
    this.#response = head;
    // RFC 9110 §9.3.2: what would be the body of any other answer, an error of ours above all, is not sent.
    if (end || this.#isHead) this.endQueued = true;
    this.host.queueHead(this);
  }

  reset(error: MeshError): void {
    this.receiver = undefined;
    this.dropHeld();
    this.abandon(resetCodeOf(error));
  }

  pauseRequest(): void {
    this.pauseReading();
  }

  resumeRequest(): void {
    this.resumeReading();
  }

  override writeHead(writer: HeadWriter): void {
    if (this.#informational !== undefined) this.#writeInformational(writer, this.#informational);
    const head = this.#response;
    if (head === undefined || this.headWritten) return;
    this.headWritten = true;
    const isEnd = this.endQueued && this.queue.bytes === 0 && this.trailers === undefined;
    const offset = beginHeaders(writer.out);
    writeResponse(
      writer.out,
      writer.encoder,
      this.#isUpgrade ? asUpgradeAnswer(head) : head,
      this.isTunnel,
      this.host.isLink,
    );
    writer.endBlock(offset, this.id, isEnd);
    if (isEnd) this.onSentEnd(writer.out);
    else if (this.queue.bytes > 0 || this.endQueued) this.host.queueData(this);
  }

  #writeInformational(writer: HeadWriter, heads: readonly ResponseHead[]): void {
    this.#informational = undefined;
    for (const head of heads) {
      const offset = beginHeaders(writer.out);
      writeResponse(writer.out, writer.encoder, head, false, this.host.isLink);
      writer.endBlock(offset, this.id, false);
    }
  }

  protected override deliverData(chunk: Buffer): void {
    this.receiver?.onRequestData(chunk);
  }

  protected override deliverEnd(trailers: readonly Field[] | undefined): void {
    this.receiver?.onRequestEnd(trailers);
  }

  protected override deliverRoom(): void {
    this.receiver?.onResponseWritable();
  }

  override deliverAborted(error: MeshError): void {
    const { receiver } = this;
    this.receiver = undefined;
    this.dropHeld();
    receiver?.onRequestAborted(error);
  }

  override onLost(error: MeshError): void {
    this.deliverAborted(error);
  }

  override onPeerReset(code: number): void {
    this.deliverAborted(resetError(code));
  }

  /** Whether the answer opened the tunnel; any other ends the request like all do. */
  get #isAccepted(): boolean {
    const status = this.#response?.status ?? 0;
    return this.#isUpgrade ? status === 101 : status >= 200 && status <= 299;
  }

  /** Nobody reads the rest of a request that is answered, also where all of it is here. */
  override onSentEnd(out: OutBuffer): void {
    if (!this.isTunnel || !this.#isAccepted) {
      this.receiver = undefined;
      this.dropHeld();
    }
    super.onSentEnd(out);
  }

  /** RFC 9113 §8.1: a complete answer to an unfinished request asks the client to stop sending. */
  protected override onSentEndFirst(out: OutBuffer): void {
    if (this.isTunnel && this.#isAccepted) return;
    writeReset(out, this.id, faultCode.noError);
    this.move('reset');
    this.host.forgetStream(this);
  }
}

/** By code. Callers cancel often, and some to do harm: no error with its stack is made for each. */
const resetErrors: (MeshError | undefined)[] = [];

function resetError(code: number): MeshError {
  const known = resetErrors[code];
  if (known !== undefined) return known;
  const message = `downstream reset the request: ${faultName(code)}`;
  const error = new MeshError('stream_reset', message, { origin: 'downstream' });
  if (code <= faultCode.http11Required) resetErrors[code] = error;
  return error;
}
