// hot: one per request that we send.
/** One request as the client side of a connection sees it. */
import { type ErrorCode, MeshError } from '../../../kit/errors.ts';
import type { ClientStream, RequestHead, ResponseHead, ResponseReceiver } from '../codec.ts';
import type { Field } from '../field.ts';
import { faultCode, StreamReset } from './fault.ts';
import { beginHeaders } from './frame.ts';
import { limits } from './limits.ts';
import { writeRequest } from './message-writer.ts';
import { type HeadWriter, Http2Stream, type StreamHost } from './stream.ts';
import { restoreUpgradeAnswer } from './upgrade-answer.ts';

/** What a client stream needs beyond a stream's host. */
export interface ClientStreamHost extends StreamHost {
  /** A request was answered on the connection before, so it may have died unseen. */
  readonly hasAnswered: boolean;
  /** CONNECT_ERROR is a sidecar's word that its application took all the time there is to connect. */
  readonly tellsConnectTimeouts: boolean;
  /** Gives the stream its id, now that its head is written; false where no stream can be opened any more. */
  open(stream: ClientHttp2Stream): boolean;
  /** A stream that never left is gone. */
  onUnsentGone(stream: ClientHttp2Stream): void;
}

export class ClientHttp2Stream extends Http2Stream implements ClientStream {
  readonly head: RequestHead;
  readonly #client: ClientStreamHost;
  #receiver: ResponseReceiver | undefined;
  /** Its place among those whose head has not left, or -1. */
  unsentAt = -1;
  /** The final head arrived. */
  hasResponse = false;
  /** It opened the tunnel that was asked for. */
  hasOpened = false;
  /** The whole answer is here, be it that its reader is slow: nothing that happens after can take it back. */
  #isAnswered = false;
  #informationalHeads = 0;

  constructor(host: ClientStreamHost, sendWindow: number, head: RequestHead, receiver: ResponseReceiver) {
    super(host, 0, sendWindow);
    this.#client = host;
    this.head = head;
    this.isBodyDue = false;
    this.#receiver = receiver;
    this.mayStall = host.isLink && head.method === 'CONNECT';
  }

  get isTunnel(): boolean {
    return this.head.protocol !== undefined || this.head.method === 'CONNECT';
  }

  cancel(_error: MeshError): void {
    this.#receiver = undefined;
    this.dropHeld();
    if (this.state === 'closed') return;
    if (this.id !== 0) {
      this.abandon(faultCode.cancel);
      return;
    }
    this.move('reset');
    this.#client.onUnsentGone(this);
  }

  pauseResponse(): void {
    this.pauseReading();
  }

  resumeResponse(): void {
    this.resumeReading();
  }

  override writeHead(writer: HeadWriter): void {
    if (this.headWritten || !this.#client.open(this)) return;
    this.headWritten = true;
    const isEnd = this.endQueued && this.queue.bytes === 0 && this.trailers === undefined;
    const offset = beginHeaders(writer.out);
    writeRequest(writer.out, writer.encoder, this.head, this.host.isLink);
    writer.endBlock(offset, this.id, isEnd);
    this.move('headers');
    if (isEnd) this.onSentEnd(writer.out);
    else if (this.queue.bytes > 0 || this.endQueued) this.host.queueData(this);
  }

  /** A 1xx head; false where there were too many. */
  receiveInformational(head: ResponseHead): boolean {
    if (++this.#informationalHeads > limits.informationalHeads) return false;
    this.#receiver?.onInformational(head);
    return true;
  }

  /** The final head; false where it contradicts itself. */
  receiveResponse(head: ResponseHead, end: boolean): boolean {
    const isBodyless = this.head.method === 'HEAD' || head.status === 204 || head.status === 304;
    if (end && head.contentLength > 0 && !isBodyless) return false;
    this.hasResponse = true;
    this.isBodyDue = true;
    if (isBodyless) this.bodyLeft = 0;
    else if (!this.isTunnel) this.bodyLeft = head.contentLength;
    // RFC 8441 §5: success, whatever its number, is what 101 is in HTTP/1.1.
    if (this.head.protocol !== undefined && head.status < 300) head.status = 101;
    this.hasOpened = this.isTunnel && head.status < 300;
    if (this.host.isLink && this.head.protocol !== undefined) restoreUpgradeAnswer(head);
    if (end) this.move('recv_end');
    this.#isAnswered = end && !this.hasOpened;
    this.#receiver?.onResponse(head, end);
    return true;
  }

  override receiveEnd(trailers: readonly Field[] | undefined): boolean {
    const isWhole = super.receiveEnd(trailers);
    this.#isAnswered = isWhole && !this.hasOpened;
    return isWhole;
  }

  protected override deliverData(chunk: Buffer): void {
    this.#receiver?.onResponseData(chunk);
  }

  protected override deliverEnd(trailers: readonly Field[] | undefined): void {
    this.#receiver?.onResponseEnd(trailers);
  }

  protected override deliverRoom(): void {
    this.#receiver?.onRequestWritable();
  }

  override deliverAborted(error: MeshError): void {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    this.dropHeld();
    receiver?.onResponseAborted(error);
  }

  override onLost(error: MeshError): void {
    if (this.#isAnswered) return;
    const { code, message, origin } = error;
    // Who does not speak our version of the link has taken up nothing, by the link's rules.
    const lost = this.#client.hasAnswered ? 'if_idempotent' : 'elsewhere';
    const unanswered = code === 'version_not_supported' ? 'always' : lost;
    const retry = this.hasResponse ? 'never' : unanswered;
    this.deliverAborted(new MeshError(code, message, { origin, retry, cause: error }));
  }

  /** RFC 9113 §8.1: who answers before it has the whole request may reset it after. */
  override onPeerReset(code: number): void {
    if (this.#isAnswered) return;
    if (code === faultCode.refusedStream) {
      // RFC 9113 §8.7: nothing was processed.
      this.#refused('stream_refused', 'upstream refused the stream, it cannot serve it now');
    } else if (code === faultCode.connectError && this.#client.tellsConnectTimeouts) {
      this.#refused('connect_timeout', 'the application did not take a connection in time');
    } else this.deliverAborted(new StreamReset(code));
  }

  #refused(code: ErrorCode, message: string): void {
    this.deliverAborted(new MeshError(code, message, { origin: 'upstream', retry: 'always' }));
  }

  /** The request left before the answer came: the usual course. */
  protected override onSentEndFirst(): void {}
}
