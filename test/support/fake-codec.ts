/** Codec ends that record what they are told: a server stream, a client connection, and a codec that hands them out. */
import type { MeshError } from '../../kit/errors.ts';
import type {
  ClientConnection,
  ClientStream,
  RequestHead,
  ResponseHead,
  ResponseReceiver,
  ServerStream,
} from '../../sidecar/codec/codec.ts';
import { Field } from '../../sidecar/codec/field.ts';

/** Both kinds of stream write down each call as a line. */
export class FakeServerStream implements ServerStream {
  readonly calls: string[] = [];
  readonly heads: ResponseHead[] = [];
  body = '';
  /** What `sendData` answers. */
  hasRoom = true;

  sendInformational(head: ResponseHead): void {
    this.calls.push(`informational ${head.status}`);
  }
  sendResponse(head: ResponseHead, end: boolean): void {
    this.heads.push(head);
    this.calls.push(`response ${head.status}${end ? ' end' : ''}`);
  }
  sendData(chunk: Buffer): boolean {
    this.body += chunk.toString('latin1');
    this.calls.push(`data ${chunk.length}`);
    return this.hasRoom;
  }
  sendEnd(trailers: readonly Field[] | undefined): void {
    this.calls.push(
      trailers === undefined ? 'end' : `end ${trailers.map((field) => field.line.trim()).join()}`,
    );
  }
  reset(error: MeshError): void {
    this.calls.push(`reset ${error.code}`);
  }
  pauseRequest(): void {
    this.calls.push('pause');
  }
  resumeRequest(): void {
    this.calls.push('resume');
  }
}

export class FakeClientStream implements ClientStream {
  readonly calls: string[] = [];
  hasRoom = true;

  sendData(chunk: Buffer): boolean {
    this.calls.push(`data ${chunk.toString('latin1')}`);
    return this.hasRoom;
  }
  sendEnd(trailers: readonly Field[] | undefined): void {
    this.calls.push(trailers === undefined ? 'end' : `end ${trailers.length}`);
  }
  cancel(error: MeshError): void {
    this.calls.push(`cancel ${error.code}`);
  }
  pauseResponse(): void {
    this.calls.push('pause');
  }
  resumeResponse(): void {
    this.calls.push('resume');
  }
}

export interface SentRequest {
  readonly head: RequestHead;
  readonly end: boolean;
  readonly receiver: ResponseReceiver;
  readonly stream: FakeClientStream;
}

/** An upstream connection that takes `capacity` requests at once and answers when the test says so. */
export class FakeClientConnection implements ClientConnection {
  readonly requests: SentRequest[] = [];
  readonly calls: string[] = [];
  available: number;
  active = 0;

  constructor(capacity = 1) {
    this.available = capacity;
  }
  request(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const stream = new FakeClientStream();
    this.available--;
    this.active++;
    this.requests.push({ head: { ...head, fields: [...head.fields] }, end, receiver, stream });
    return stream;
  }
  drain(): void {
    this.calls.push('drain');
  }
  destroy(error: MeshError): void {
    this.calls.push(`destroy ${error.code}`);
  }
}

export function requestHead(init: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'orders',
    path: '/',
    fields: [],
    contentLength: -1,
    protocol: undefined,
    expectContinue: false,
    acceptsTrailers: false,
    ...init,
  };
}

export function responseHead(status: number, fields: Readonly<Record<string, string>> = {}): ResponseHead {
  return {
    status,
    fields: Object.entries(fields).map(([name, value]) => new Field(name, value)),
    contentLength: -1,
  };
}
