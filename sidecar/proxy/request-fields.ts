// hot: once per request.
/** What the path itself needs to know of a request's fields, found in one pass over them. */
import { type Field, fieldKind } from '../codec/field.ts';
import { grpcTimeoutMs, isGrpcType, smallNumber } from './grpc.ts';

export interface RequestFindings {
  requestId: string;
  isGrpc: boolean;
  /** What a gRPC caller allows by `grpc-timeout`, or -1. */
  callerMs: number;
  /** The receiver's port that is meant on a link, or -1. */
  linkPort: number;
}

/** Writes what it finds to `found`, and takes out the fields that go no farther. */
export function readFields(fields: Field[], found: RequestFindings): void {
  for (let at = 0; at < fields.length; at++) {
    const field = fields[at] as Field;
    switch (field.kind) {
      case fieldKind.requestId:
        found.requestId = field.value;
        break;
      case fieldKind.contentType:
        found.isGrpc = isGrpcType(field.value);
        break;
      case fieldKind.grpcTimeout:
        found.callerMs = grpcTimeoutMs(field.value);
        break;
      case fieldKind.heddlePort:
        found.linkPort = smallNumber(field.value);
        fields.splice(at--, 1);
        break;
    }
  }
  if (!found.isGrpc) found.callerMs = -1;
}
