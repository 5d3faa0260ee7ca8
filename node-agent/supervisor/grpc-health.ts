/**
 * The gRPC health check (`grpc.health.v1.Health/Check`) over a connection that is there: one call, written by
 * hand, because two fields do not need a library in the agent's probes.
 */
import { connect, constants } from 'node:http2';
import type { Socket } from 'node:net';

const path = '/grpc.health.v1.Health/Check';
/** `HealthCheckResponse.ServingStatus.SERVING`. */
const serving = 1;
/** Field 1, length-delimited: `HealthCheckRequest.service`. */
const serviceTag = 0x0a;
/** Field 1, varint: `HealthCheckResponse.status`. */
const statusTag = 0x08;
/** Flag and length before a message. */
const messageHeadBytes = 5;
/** An answer is nine bytes or so. */
const maxReplyBytes = 1024;

/** Calls `answer` once: whether `service` (empty: the server as a whole) says that it serves. */
export function askGrpcHealth(socket: Socket, service: string, answer: (ok: boolean) => void): void {
  const session = connect('http://localhost', { createConnection: () => socket });
  session.on('error', () => answer(false));
  const call = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: path,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
    [constants.HTTP2_HEADER_TE]: 'trailers',
  });
  let reply = Buffer.alloc(0);
  let status: unknown;
  const readStatus = (fields: Readonly<Record<string, unknown>>) => {
    status = fields['grpc-status'] ?? status;
  };
  call.on('response', readStatus);
  call.on('trailers', readStatus);
  call.on('data', (chunk: Buffer) => {
    reply = Buffer.concat([reply, chunk]);
    if (reply.length > maxReplyBytes) answer(false);
  });
  call.on('error', () => answer(false));
  call.on('close', () => answer(status === '0' && isServing(reply)));
  call.end(requestFor(service));
}

function requestFor(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([serviceTag, name.length]), name]);
  const head = Buffer.alloc(messageHeadBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function isServing(reply: Buffer): boolean {
  return reply[0] === 0 && reply[messageHeadBytes] === statusTag && reply[messageHeadBytes + 1] === serving;
}
