/** How a command fails: lines for people on standard error and an exit code for scripts. */
import { showProblem } from '../../kit/parse.ts';
import type { ProblemBody } from '../api/shapes.ts';

/** 1: refused by us or by the pilot · 2: called in a wrong way · 3: the pilot cannot be reached. */
export type ExitCode = 1 | 2 | 3;

export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly lines: readonly string[];
  readonly exitCode: ExitCode;

  constructor(lines: readonly string[], exitCode: ExitCode) {
    super(lines.join('\n'));
    this.lines = lines;
    this.exitCode = exitCode;
  }
}

export function refused(...lines: readonly string[]): CommandFailure {
  return new CommandFailure(lines, 1);
}

export function wrongUse(line: string): CommandFailure {
  return new CommandFailure([line], 2);
}

/** It says what is not there, and the title would say it again. */
const notFound = 404;

/** The pilot's own answer: every problem on a line, or what it says in one. */
export function refusedByPilot(problem: ProblemBody): CommandFailure {
  const lines = problem.problems?.map(showProblem) ?? [];
  if (lines.length > 0) return refused(...lines);
  const { title, detail, status } = problem;
  return refused(status === notFound ? detail : `${title.toLowerCase()}: ${detail}`);
}
