/** MeshError → gRPC status; the error's code travels in the trailer `heddle-code`, so that the other end has it back. */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, MeshError, messageOf } from '../../kit/errors.ts';

export const codeTrailer = 'heddle-code';

const statusOf: Partial<Record<ErrorCode, status>> = {
  identity_refused: status.UNAUTHENTICATED,
  denied: status.PERMISSION_DENIED,
  invalid: status.INVALID_ARGUMENT,
  malformed_message: status.INVALID_ARGUMENT,
  version_not_supported: status.FAILED_PRECONDITION,
  conflict: status.ABORTED,
  not_found: status.NOT_FOUND,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  limit_exceeded: status.RESOURCE_EXHAUSTED,
  overloaded: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  draining: status.UNAVAILABLE,
};

/** What a call ends with. Our own bugs say nothing of themselves to the peer. */
export function serviceErrorOf(thrown: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> & Error {
  const metadata = new Metadata();
  if (!(thrown instanceof MeshError)) {
    metadata.set(codeTrailer, 'internal');
    const details = 'internal error of the pilot; its log says more';
    return Object.assign(new Error(details), { code: status.INTERNAL, details, metadata });
  }
  metadata.set(codeTrailer, thrown.code);
  const code = statusOf[thrown.code] ?? status.UNKNOWN;
  return Object.assign(new Error(thrown.message), { code, details: messageOf(thrown), metadata });
}
