// hot: every response.
/** One request as it is answered on HTTP/1.1. */
import { MeshError } from '../../../kit/errors.ts';
import type { Conn } from '../../net/conn.ts';
import type { RequestHead, RequestReceiver, ResponseHead, ServerStream } from '../codec.ts';
import type { Field } from '../field.ts';
import type { BodyWriter } from './body-writer.ts';
import { informationalText, type ResponseContext, responseMode, responseText } from './serialize.ts';
import { addWebSocketAccept, webSocketKey } from './web-socket.ts';

/** What a stream needs of the connection it is on. */
export interface StreamOwner {
  readonly conn: Conn;
  readonly writer: BodyWriter;
  /** Decides whether the connection ends after a response that begins so, whose head will say it. */
  decideClose(head: ResponseHead, end: boolean): boolean;
  onResponseEnded(): void;
  onSwitched(): void;
  /** The peer does not take what is written. */
  onFull(): void;
  pauseBody(): void;
  resumeBody(): void;
  /** Ends the connection, and the response visibly unfinished. */
  cut(error: MeshError): void;
}

/** `none`: the request is read to its end. `held`: a tunnel was asked for, what follows waits for the answer. */
export type RequestState = 'body' | 'held' | 'none';
/** `dead`: the exchange is over for whatever reason; calls that come late do nothing. */
export type ResponseState = 'waiting' | 'body' | 'dead';

export class Http1ServerStream implements ServerStream, ResponseContext {
  readonly isHead: boolean;
  readonly minorVersion: number;
  readonly protocol: string | undefined;
  readonly #webSocketKey: string;
  /** Set right after the request was handed over. */
  receiver: RequestReceiver | undefined = undefined;
  requestState: RequestState;
  responseState: ResponseState = 'waiting';
  /** The client waits for 100 before it sends the body. */
  awaitsContinue: boolean;
  readonly #owner: StreamOwner;

  constructor(owner: StreamOwner, head: RequestHead, minorVersion: number, requestState: RequestState) {
    this.#owner = owner;
    this.isHead = head.method === 'HEAD';
    this.minorVersion = minorVersion;
    this.protocol = head.protocol;
    this.#webSocketKey = head.protocol === undefined ? '' : webSocketKey(head);
    this.requestState = requestState;
    this.awaitsContinue = head.expectContinue;
  }

  sendInformational(head: ResponseHead): void {
    // RFC 9110 §15.2: never to an HTTP/1.0 client.
    if (this.responseState !== 'waiting' || this.minorVersion === 0) return;
    if (head.status === 100) {
      if (!this.awaitsContinue) return;
      this.awaitsContinue = false;
    }
    this.#owner.conn.writeText(informationalText(head));
  }

  sendResponse(head: ResponseHead, end: boolean): void {
    if (this.responseState !== 'waiting') return;
    const owner = this.#owner;
    const mode = responseMode(head, end, this);
    if (mode === 'tunnel') addWebSocketAccept(head, this.#webSocketKey);
    owner.conn.writeText(responseText(head, mode, owner.decideClose(head, end), this));
    owner.writer.begin(mode, head.contentLength);
    this.responseState = 'body';
    if (mode === 'tunnel') owner.onSwitched();
    else if (end) this.#end();
  }

  sendData(chunk: Buffer): boolean {
    if (this.responseState !== 'body') return true;
    const { conn, writer } = this.#owner;
    if (!writer.write(conn, chunk)) {
      this.#broken('response body is longer than declared');
      return true;
    }
    if (!conn.isFull) return true;
    this.#owner.onFull();
    return false;
  }

  sendEnd(trailers: readonly Field[] | undefined): void {
    if (this.responseState !== 'body') return;
    const { conn, writer } = this.#owner;
    if (!writer.end(conn, trailers)) this.#broken('response body is shorter than declared');
    else if (writer.mode === 'tunnel') {
      this.responseState = 'dead';
      conn.finish();
    } else this.#end();
  }

  reset(error: MeshError): void {
    if (this.responseState === 'dead') return;
    this.responseState = 'dead';
    this.requestState = 'none';
    this.receiver = undefined;
    this.#owner.cut(error);
  }

  pauseRequest(): void {
    if (this.requestState === 'body') this.#owner.pauseBody();
  }

  resumeRequest(): void {
    if (this.requestState === 'body') this.#owner.resumeBody();
  }

  #end(): void {
    this.responseState = 'dead';
    this.#owner.onResponseEnded();
  }

  #broken(message: string): void {
    this.reset(new MeshError('internal', message, { origin: 'local' }));
  }
}
