import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, MeshError } from '../../../../kit/errors.ts';
import type { ResponseHead, ServerStream } from '../../../../sidecar/codec/codec.ts';
import { Field } from '../../../../sidecar/codec/field.ts';
import { StreamReset } from '../../../../sidecar/codec/http2/fault.ts';
import { answerFor, endWithStatus, respond } from '../../../../sidecar/proxy/respond.ts';

/** HTTP status and gRPC status of what goes wrong on our side or beyond. */
const answers: readonly (readonly [ErrorCode, number, number])[] = [
  ['connect_refused', 503, 14],
  ['connect_timeout', 503, 14],
  ['connect_failed', 503, 14],
  ['tls_failed', 503, 14],
  ['identity_refused', 503, 14],
  ['connection_reset', 502, 14],
  ['connection_closed', 502, 14],
  ['stream_reset', 502, 14],
  ['stream_refused', 503, 14],
  ['malformed_message', 502, 13],
  ['head_too_large', 502, 13],
  ['not_implemented', 501, 12],
  ['no_route', 404, 12],
  ['no_backend', 500, 14],
  ['no_cluster', 503, 14],
  ['no_healthy_endpoint', 503, 14],
  ['denied', 403, 7],
  ['overloaded', 503, 8],
  ['limit_exceeded', 503, 8],
  ['deadline_exceeded', 504, 4],
  ['request_timeout', 504, 4],
  ['idle_timeout', 504, 4],
  ['draining', 503, 14],
  ['unavailable', 503, 14],
  ['internal', 500, 13],
];

class Reply implements Pick<ServerStream, 'sendResponse' | 'sendData' | 'sendEnd'> {
  head: ResponseHead | undefined;
  isEnded = false;
  body = '';
  trailers: readonly Field[] | undefined;

  sendResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    this.isEnded = end;
  }
  sendData(chunk: Buffer): boolean {
    this.body += chunk.toString();
    return true;
  }
  sendEnd(trailers: readonly Field[] | undefined): void {
    this.trailers = trailers;
    this.isEnded = true;
  }
}

const date = new Field('date', 'Sun, 06 Nov 1994 08:49:37 GMT');

const fieldValue = (fields: readonly Field[] | undefined, name: string) =>
  fields?.find((field) => field.name === name)?.value;

describe('answers in place of an upstream', () => {
  for (const [code, status, grpcStatus] of answers) {
    it(`${code}: ${status} to HTTP, ${grpcStatus} to gRPC`, () => {
      const answer = answerFor(new MeshError(code, 'why', { origin: 'upstream' }));
      const plain = new Reply();
      respond(plain as unknown as ServerStream, answer, 'why', false, date);
      assert.deepEqual([plain.head?.status, plain.body, plain.isEnded], [status, 'why\n', true]);
      assert.equal(fieldValue(plain.head?.fields, 'date'), date.value);
      assert.equal(fieldValue(plain.head?.fields, 'retry-after'), status === 503 ? '1' : undefined);

      const grpc = new Reply();
      respond(grpc as unknown as ServerStream, answer, 'why, ü 100%', true, date);
      assert.deepEqual([grpc.head?.status, grpc.body, grpc.isEnded], [200, '', true]);
      assert.equal(fieldValue(grpc.head?.fields, 'content-type'), 'application/grpc');
      assert.equal(fieldValue(grpc.head?.fields, 'grpc-status'), `${grpcStatus}`);
      assert.equal(fieldValue(grpc.head?.fields, 'grpc-message'), 'why, %C3%BC 100%25');

      const begun = new Reply();
      endWithStatus(begun as unknown as ServerStream, answer, 'why');
      assert.equal(fieldValue(begun.trailers, 'grpc-status'), `${grpcStatus}`);
    });
  }

  it("reads the gRPC status out of the upstream's reset", () => {
    const statusOf = (code: number) => answerFor(new StreamReset(code)).grpcStatus;
    assert.deepEqual(
      Array.from({ length: 15 }, (_, code) => statusOf(code)),
      [13, 13, 13, 13, 13, 2, 13, 14, 1, 13, 13, 8, 7, 2, 13],
    );
    assert.equal(answerFor(new StreamReset(8)).status, 502);
  });

  it('has no answer for who has gone', () => {
    const gone = answerFor(new MeshError('connection_reset', 'bye', { origin: 'downstream' }));
    assert.deepEqual([gone.status, gone.grpcStatus], [0, 1]);
  });
});
