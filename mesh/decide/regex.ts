/**
 * Users' regular expressions, in linear time by re2js: V8's engine can take exponential time on them.
 * re2js is loaded by the first expression, so that a sidecar without one never loads it.
 */
import { createRequire } from 'node:module';
import { MeshError, messageOf } from '../../kit/errors.ts';

/** Gateway API's own bound for a path is 1,024 characters, for a header 4,096. */
const maxPatternLength = 4096;

/** Instructions of the compiled expression; time per character grows with it. */
const maxProgramSize = 512;

/** A longer input does not match. */
const maxInputLength = 8192;

export interface Regex {
  /** Whether the whole of `input` matches. */
  matches(input: string): boolean;
}

/** Compiles `pattern` (RE2 syntax). Throws MeshError `invalid` on bad syntax and on what is too large. */
export function compileRegex(pattern: string): Regex {
  if (pattern.length > maxPatternLength) {
    throw invalid(`regular expression is longer than ${maxPatternLength} characters`);
  }
  const compiled = compile(pattern);
  const size = compiled.programSize();
  if (size > maxProgramSize) {
    throw invalid(`regular expression is too large (${size} instructions, at most ${maxProgramSize})`);
  }
  return { matches: (input) => input.length <= maxInputLength && compiled.testExact(input) };
}

type Re2 = typeof import('re2js').RE2JS;

let re2: Re2 | undefined;

function compile(pattern: string): ReturnType<Re2['compile']> {
  re2 ??= (createRequire(import.meta.url)('re2js') as typeof import('re2js')).RE2JS;
  try {
    return re2.compile(pattern);
  } catch (cause) {
    throw invalid(messageOf(cause), cause);
  }
}

function invalid(message: string, cause?: unknown): MeshError {
  return new MeshError('invalid', message, { origin: 'local', cause });
}
