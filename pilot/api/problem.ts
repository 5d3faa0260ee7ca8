/** Errors as problem documents (RFC 9457): the only place of the API that turns an error into a status. */
import { type ErrorCode, MeshError, messageOf } from '../../kit/errors.ts';
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import type { ProblemBody } from './shapes.ts';

const titles: Readonly<Record<number, string>> = {
  400: 'The request is malformed',
  401: 'A token is needed',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Not with this method',
  409: 'In conflict with the world as it is',
  412: 'The precondition does not hold',
  413: 'Too large',
  415: 'Not in this form',
  422: 'Refused',
  500: 'The pilot failed',
  503: 'The store is away',
  504: 'The store did not answer in time',
};

const statusOf: Partial<Record<ErrorCode, number>> = {
  invalid: 422,
  not_found: 404,
  denied: 403,
  conflict: 409,
  limit_exceeded: 413,
  body_too_large: 413,
  malformed_message: 400,
  unavailable: 503,
  overloaded: 503,
  deadline_exceeded: 504,
};

/** An answer that is not what was asked for, thrown by handlers. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly status: number;
  readonly code: string;
  readonly problems: readonly Problem[] | undefined;

  constructor(status: number, code: string, detail: string, problems?: readonly Problem[]) {
    super(detail);
    this.status = status;
    this.code = code;
    this.problems = problems;
  }
}

export function problemFrom(thrown: unknown): HttpProblem {
  if (thrown instanceof HttpProblem) return thrown;
  if (thrown instanceof ParseFailure) {
    const count = thrown.problems.length;
    return new HttpProblem(
      422,
      'invalid',
      count === 1 ? 'one problem' : `${count} problems`,
      thrown.problems,
    );
  }
  if (thrown instanceof MeshError) {
    return new HttpProblem(statusOf[thrown.code] ?? 500, thrown.code, thrown.message);
  }
  return new HttpProblem(500, 'internal', messageOf(thrown));
}

export function problemBody(problem: HttpProblem): ProblemBody {
  return {
    type: `urn:heddle:problem:${problem.code}`,
    title: titles[problem.status] ?? 'Error',
    status: problem.status,
    detail: problem.message,
    ...(problem.problems === undefined ? {} : { problems: problem.problems }),
  };
}
