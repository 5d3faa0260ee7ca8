/** Ends of a codec that keep what they hear: requests at a server, one response at a client. */
import type { MeshError } from '../../kit/errors.ts';
import type {
  ClientConnection,
  ClientConnectionOwner,
  RequestAcceptor,
  RequestHead,
  RequestReceiver,
  ResponseHead,
  ResponseReceiver,
  ServerStream,
} from '../../sidecar/codec/codec.ts';
import type { Field } from '../../sidecar/codec/field.ts';

/** A header field as `name: value`. */
export function linesOf(fields: readonly Field[] | undefined): string[] {
  return (fields ?? []).map((field) => `${field.name}: ${field.value}`);
}

export class RecordedRequest implements RequestReceiver {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  body = '';
  /** Undefined until the request has ended. */
  trailers: string[] | undefined;
  aborted: MeshError | undefined;
  writable = 0;

  constructor(stream: ServerStream, head: RequestHead, end: boolean) {
    this.stream = stream;
    this.head = head;
    if (end) this.trailers = [];
  }
  get ended(): boolean {
    return this.trailers !== undefined;
  }
  onRequestData(chunk: Buffer): void {
    this.body += chunk.toString('latin1');
  }
  onRequestEnd(trailers: readonly Field[] | undefined): void {
    this.trailers = linesOf(trailers);
  }
  onRequestAborted(error: MeshError): void {
    this.aborted = error;
  }
  onResponseWritable(): void {
    this.writable++;
  }
  /** Answers with a body of known length. */
  answer(body = 'ok', status = 200): void {
    this.stream.sendResponse({ status, fields: [], contentLength: body.length }, body === '');
    if (body === '') return;
    this.stream.sendData(Buffer.from(body, 'latin1'));
    this.stream.sendEnd(undefined);
  }
}

export class RecordingAcceptor implements RequestAcceptor {
  readonly requests: RecordedRequest[] = [];
  readonly refused: number[] = [];
  floods = 0;
  closed = 0;
  /** Called for each request before `onRequest` returns. */
  onEach: (request: RecordedRequest) => void = () => {};

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): RequestReceiver {
    const request = new RecordedRequest(stream, head, end);
    this.requests.push(request);
    this.onEach(request);
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
  readonly informational: number[] = [];
  head: ResponseHead | undefined;
  body = '';
  /** Undefined until the response has ended. */
  trailers: string[] | undefined;
  aborted: MeshError | undefined;
  writable = 0;

  get ended(): boolean {
    return this.trailers !== undefined;
  }
  onInformational(head: ResponseHead): void {
    this.informational.push(head.status);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    if (end) this.trailers = [];
  }
  onResponseData(chunk: Buffer): void {
    this.body += chunk.toString('latin1');
  }
  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.trailers = linesOf(trailers);
  }
  onResponseAborted(error: MeshError): void {
    this.aborted = error;
  }
  onRequestWritable(): void {
    this.writable++;
  }
}

export class RecordingOwner implements ClientConnectionOwner {
  readonly events: ('available' | 'unavailable' | 'closed')[] = [];
  error: MeshError | undefined;

  onAvailable(_connection: ClientConnection): void {
    this.events.push('available');
  }
  onUnavailable(_connection: ClientConnection): void {
    this.events.push('unavailable');
  }
  onClosed(_connection: ClientConnection, error: MeshError | undefined): void {
    this.events.push('closed');
    this.error = error;
  }
  /** How often it heard that. */
  times(event: 'available' | 'unavailable' | 'closed'): number {
    return this.events.filter((one) => one === event).length;
  }
}
