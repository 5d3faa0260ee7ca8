/** A message that is refused: what is wrong with it and the status that says so. */
import { type ErrorCode, MeshError, type Origin } from '../../../kit/errors.ts';

const codeByStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'malformed_message',
  405: 'not_implemented',
  408: 'request_timeout',
  414: 'uri_too_long',
  417: 'expectation_failed',
  431: 'head_too_large',
  501: 'not_implemented',
  505: 'version_not_supported',
};

/** In place of a status: the connection is closed without a word. */
export const noAnswer = 0;

export class Refusal extends MeshError {
  readonly status: number;

  constructor(status: number, message: string, origin: Origin = 'downstream') {
    super(codeByStatus[status] ?? 'malformed_message', message, { origin });
    this.status = status;
  }
}

/** The same fault found in an upstream's message, where there is nobody to refuse: it is the upstream's. */
export function upstreamFault(thrown: unknown): MeshError {
  if (!(thrown instanceof Refusal)) {
    if (thrown instanceof MeshError) return thrown;
    throw thrown;
  }
  return new MeshError('malformed_message', `upstream: ${thrown.message}`, { origin: 'upstream' });
}
