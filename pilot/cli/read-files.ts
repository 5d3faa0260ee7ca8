/** `-f FILE|DIR|-`: every resource in the files, or every problem by file, line and column. */
import { ParseFailure, showProblem } from '../../kit/parse.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import { readResourceFiles } from '../build/read-files.ts';
import { refused } from './failure.ts';

/** Throws CommandFailure with one line per problem; nothing is left out because of an earlier one. */
export function readFiles(paths: readonly string[], readInput: () => string): Resource[] {
  const resources = checked(() => readResourceFiles(paths, readInput));
  if (resources.length > 0) return resources;
  const names = paths.map((path) => (path === '-' ? 'standard input' : path));
  throw refused(`there is no resource in ${names.join(', ')}`);
}

function checked(read: () => Resource[]): Resource[] {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof ParseFailure) throw refused(...thrown.problems.map(showProblem));
    throw thrown;
  }
}
