/** The only place where an error becomes a status, a response flag and a body. */
import type { ErrorCode, MeshError } from '../../kit/errors.ts';
import type { ResponseHead, ServerStream } from '../codec/codec.ts';
import { Field } from '../codec/field.ts';
import { faultCode, StreamReset } from '../codec/http2/fault.ts';
import { flag } from '../observe/flags.ts';

export interface Answer {
  readonly status: number;
  readonly flag: number;
  /** gRPC status code of the same meaning. */
  readonly grpcStatus: number;
}

/** gRPC status codes, https://grpc.io/docs/guides/status-codes. */
const grpc = {
  cancelled: 1,
  unknown: 2,
  deadline: 4,
  denied: 7,
  exhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
};

const byCode: Partial<Record<ErrorCode, Answer>> = {
  connect_refused: { status: 503, flag: flag.upstreamFailed, grpcStatus: grpc.unavailable },
  connect_timeout: { status: 503, flag: flag.upstreamFailed, grpcStatus: grpc.unavailable },
  connect_failed: { status: 503, flag: flag.upstreamFailed, grpcStatus: grpc.unavailable },
  tls_failed: { status: 503, flag: flag.upstreamFailed, grpcStatus: grpc.unavailable },
  identity_refused: { status: 503, flag: flag.upstreamFailed, grpcStatus: grpc.unavailable },
  connection_reset: { status: 502, flag: flag.upstreamClosed, grpcStatus: grpc.unavailable },
  connection_closed: { status: 502, flag: flag.upstreamClosed, grpcStatus: grpc.unavailable },
  stream_reset: { status: 502, flag: flag.upstreamReset, grpcStatus: grpc.unavailable },
  stream_refused: { status: 503, flag: flag.upstreamReset, grpcStatus: grpc.unavailable },
  malformed_message: { status: 502, flag: flag.upstreamProtocol, grpcStatus: grpc.internal },
  version_not_supported: { status: 502, flag: flag.upstreamProtocol, grpcStatus: grpc.unavailable },
  head_too_large: { status: 502, flag: flag.upstreamProtocol, grpcStatus: grpc.internal },
  body_too_large: { status: 413, flag: flag.overflow, grpcStatus: grpc.exhausted },
  not_implemented: { status: 501, flag: flag.downstreamProtocol, grpcStatus: grpc.unimplemented },
  no_route: { status: 404, flag: flag.noRoute, grpcStatus: grpc.unimplemented },
  no_backend: { status: 500, flag: flag.noCluster, grpcStatus: grpc.unavailable },
  no_cluster: { status: 503, flag: flag.noCluster, grpcStatus: grpc.unavailable },
  no_healthy_endpoint: { status: 503, flag: flag.noHealthyUpstream, grpcStatus: grpc.unavailable },
  denied: { status: 403, flag: flag.denied, grpcStatus: grpc.denied },
  overloaded: { status: 503, flag: flag.overflow, grpcStatus: grpc.exhausted },
  limit_exceeded: { status: 503, flag: flag.overflow, grpcStatus: grpc.exhausted },
  deadline_exceeded: { status: 504, flag: flag.timeout, grpcStatus: grpc.deadline },
  request_timeout: { status: 504, flag: flag.timeout, grpcStatus: grpc.deadline },
  idle_timeout: { status: 504, flag: flag.idle, grpcStatus: grpc.deadline },
  draining: { status: 503, flag: flag.draining, grpcStatus: grpc.unavailable },
  unavailable: { status: 503, flag: flag.noCluster, grpcStatus: grpc.unavailable },
};

/** What a reset by the upstream means to gRPC (gRPC over HTTP/2, "Errors"); INTERNAL where it is not named. */
const grpcByReset: ReadonlyMap<number, number> = new Map([
  [faultCode.streamClosed, grpc.unknown],
  [faultCode.refusedStream, grpc.unavailable],
  [faultCode.cancel, grpc.cancelled],
  [faultCode.enhanceYourCalm, grpc.exhausted],
  [faultCode.inadequateSecurity, grpc.denied],
  [faultCode.http11Required, grpc.unknown],
]);

/** A tunnel to anywhere is no business of a mesh (RFC 9110 §9.3.6). */
export const noConnect: Answer = {
  status: 405,
  flag: flag.downstreamProtocol,
  grpcStatus: grpc.unimplemented,
};

const ourFault: Answer = { status: 500, flag: flag.internal, grpcStatus: grpc.internal };
const downstreamGone: Answer = { status: 0, flag: flag.downstreamClosed, grpcStatus: grpc.cancelled };
const downstreamBroke: Answer = { status: 400, flag: flag.downstreamProtocol, grpcStatus: grpc.internal };

export function answerFor(error: MeshError): Answer {
  if (error.origin === 'downstream') {
    return error.code === 'malformed_message' || error.code === 'body_too_large'
      ? downstreamBroke
      : downstreamGone;
  }
  const answer = byCode[error.code] ?? ourFault;
  if (!(error instanceof StreamReset)) return answer;
  return { ...answer, grpcStatus: grpcByReset.get(error.resetCode) ?? grpc.internal };
}

const plainText = new Field('content-type', 'text/plain; charset=utf-8');
const grpcType = new Field('content-type', 'application/grpc');
const retryAfter = new Field('retry-after', '1');

/** Answers with a small text that says why; a gRPC caller gets a trailers-only reply of the same meaning. */
export function respond(
  stream: ServerStream,
  answer: Answer,
  message: string,
  isGrpc: boolean,
  date: Field | undefined,
): void {
  if (isGrpc) {
    const fields = [grpcType, ...statusFields(answer, message)];
    if (date !== undefined) fields.push(date);
    stream.sendResponse({ status: 200, fields, contentLength: -1 }, true);
    return;
  }
  const body = Buffer.from(`${message}\n`, 'utf8');
  const fields = answer.status === 503 ? [plainText, retryAfter] : [plainText];
  if (date !== undefined) fields.push(date);
  const head: ResponseHead = { status: answer.status, fields, contentLength: body.length };
  stream.sendResponse(head, false);
  stream.sendData(body);
  stream.sendEnd(undefined);
}

/** Ends a gRPC reply that has begun: what was sent stands, the status says that it is not whole. */
export function endWithStatus(stream: ServerStream, answer: Answer, message: string): void {
  stream.sendEnd(statusFields(answer, message));
}

function statusFields(answer: Answer, message: string): Field[] {
  return [
    new Field('grpc-status', String(answer.grpcStatus)),
    new Field('grpc-message', percentEncode(message)),
  ];
}

/**
 * `grpc-message` is percent-encoded UTF-8 (gRPC over HTTP/2, "Responses"). What URIs reserve stays as it is, for
 * there are clients that decode no more than a whole URI's escapes.
 */
function percentEncode(text: string): string {
  return encodeURI(text).replaceAll('%20', ' ');
}
