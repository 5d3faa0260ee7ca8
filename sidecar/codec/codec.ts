/**
 * The neutral HTTP message and the four small interfaces between codecs and the proxy.
 *
 *   server codec ──onRequest──▶ proxy ──request──▶ client codec
 *   server codec ◀─ServerStream─ proxy ◀─ResponseReceiver─ client codec
 *
 * All calls are synchronous, within the loop turn that brought the bytes. A codec calls the receiver,
 * the proxy calls the stream; after `…Aborted` or a finished message neither side calls the other again.
 * A `false` from a send means "wait for `…Writable`": the caller pauses the other side, nothing is lost.
 * Body chunks may be kept as they are; who keeps a small part of one for long copies it.
 */
import type { MeshError } from '../../kit/errors.ts';
import type { Conn } from '../net/conn.ts';
import type { TimerWheel } from '../net/timer-wheel.ts';
import type { Field } from './field.ts';
import type { FieldMemo } from './field-memo.ts';

/**
 * A request without its framing: no `host`, hop-by-hop, `content-length` or `transfer-encoding` among the fields;
 * each codec derives those anew.
 */
export interface RequestHead {
  method: string;
  scheme: 'http' | 'https';
  /** Host and optional port, lower case, validated. */
  authority: string;
  /** Origin form with its query (`/a?b`), or `*`; for a plain CONNECT empty. */
  path: string;
  fields: Field[];
  /** The body's length where it was declared, else -1. */
  contentLength: number;
  /**
   * The protocol that a WebSocket upgrade or extended CONNECT (RFC 8441) asks for; after 101 bodies are its bytes.
   * The method is then GET. Such a request never comes with `end`; any other answer than 101 ends it too, without
   * a call of `onRequestEnd`.
   */
  protocol: string | undefined;
  /** Whether the sender waits for 100 (RFC 9110 §10.1.1). The `expect` field itself is not among the fields. */
  expectContinue: boolean;
  /** Whether `te: trailers` was there; needed by gRPC. */
  acceptsTrailers: boolean;
}

/** A response without its framing. */
export interface ResponseHead {
  /** 200–599, 101 where `RequestHead.protocol` was accepted (on either version). */
  status: number;
  fields: Field[];
  /** As declared, else -1. With `end` at once (HEAD, 304) it is only said, not sent. */
  contentLength: number;
}

/** A request as its server codec lets it be answered. */
export interface ServerStream {
  /** A 1xx other than 101. */
  sendInformational(head: ResponseHead): void;
  /** The final head; with `end` there is no body. Called once. */
  sendResponse(head: ResponseHead, end: boolean): void;
  /** False: wait for `onResponseWritable`. */
  sendData(chunk: Buffer): boolean;
  sendEnd(trailers: readonly Field[] | undefined): void;
  /** Ends the exchange visibly unfinished: RST_STREAM, or a closed connection. No receiver call follows. */
  reset(error: MeshError): void;
  /** Stops and starts the flow of the request's body. */
  pauseRequest(): void;
  resumeRequest(): void;
}

/** Hears of one request after its head. */
export interface RequestReceiver {
  onRequestData(chunk: Buffer): void;
  onRequestEnd(trailers: readonly Field[] | undefined): void;
  /** The downstream is gone or broke the protocol; nothing can be sent any more. */
  onRequestAborted(error: MeshError): void;
  onResponseWritable(): void;
}

/** Takes the requests of one downstream connection. */
export interface RequestAcceptor {
  /** With `end` there is no body and no call of `onRequestEnd`. */
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): RequestReceiver;
  /** A message that never became a request was refused with `status` (400, 431, …): for log and metrics. */
  onRefused(status: number, error: MeshError): void;
  /** The peer was cut off, for it cost more than it brought; `onConnectionClosed` follows. */
  onFlooded(error: MeshError): void;
  /** The connection is over; called once. */
  onConnectionClosed(): void;
}

/** One downstream connection as its codec serves it. */
export interface ServerConnection {
  /**
   * Lets requests in flight end, says so to the peer (`connection: close`, GOAWAY), then closes. The peer has
   * `patienceMs` (by default the codec's own time) to hear of it: for so long an idle connection of HTTP/1.1 is kept
   * for one more request, and HTTP/2 waits for the answer to its warning. A later call may shorten that.
   */
  drain(patienceMs?: number): void;
  /** Closes now. */
  destroy(error: MeshError): void;
}

/** A request as its client codec sends it. */
export interface ClientStream {
  sendData(chunk: Buffer): boolean;
  sendEnd(trailers: readonly Field[] | undefined): void;
  /** Gives up: RST_STREAM, or the connection is closed. No receiver call follows. */
  cancel(error: MeshError): void;
  pauseResponse(): void;
  resumeResponse(): void;
}

/** Hears of one response. */
export interface ResponseReceiver {
  onInformational(head: ResponseHead): void;
  /** With `end` there is no body and no call of `onResponseEnd`. */
  onResponse(head: ResponseHead, end: boolean): void;
  onResponseData(chunk: Buffer): void;
  onResponseEnd(trailers: readonly Field[] | undefined): void;
  /** The upstream failed; `error.retry` says whether the request may be sent again. */
  onResponseAborted(error: MeshError): void;
  onRequestWritable(): void;
}

/** One upstream connection. */
export interface ClientConnection {
  /** How many more requests it takes now; 0 when busy, draining or closed. */
  readonly available: number;
  /** Requests without a finished answer. */
  readonly active: number;
  /** Sends the head; `available` must be above 0. With `end` there is no body. */
  request(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream;
  /** No new requests; closes when those in flight have ended. */
  drain(): void;
  destroy(error: MeshError): void;
}

/** The pool or link that holds a client connection. */
export interface ClientConnectionOwner {
  /** `available` grew: a request ended on HTTP/1.1, settings or a finished stream on HTTP/2. */
  onAvailable(connection: ClientConnection): void;
  /** It takes no new requests any more (GOAWAY, `connection: close`) or is closed; called once. */
  onUnavailable(connection: ClientConnection): void;
  /** It is closed; called once, after `onUnavailable`. */
  onClosed(connection: ClientConnection, error: MeshError | undefined): void;
}

/** The codecs that there are, by name. */
export type HttpVersion = 'http1' | 'http2';

/** A protocol of the data path. A new one is one folder and one line in `index.ts`. */
export interface Codec {
  readonly name: HttpVersion;
  /** The ALPN name (RFC 7301). */
  readonly alpn: string;
  serve(conn: Conn, acceptor: RequestAcceptor, options: CodecOptions): ServerConnection;
  connect(conn: Conn, owner: ClientConnectionOwner, options: CodecOptions): ClientConnection;
}

export interface CodecOptions {
  /** Between two sidecars: larger stream counts, `heddle-` fields allowed. */
  readonly link: boolean;
  /** Without a byte either way while no request is in flight, the connection is closed. */
  readonly idleMs: number;
  /** Of an upstream: how long it may take to say its first word, where the protocol has it speak first. */
  readonly beginMs?: number;
  readonly timers: TimerWheel;
  /** The one of this process: its slots are unique only within it. */
  readonly memo: FieldMemo;
}
