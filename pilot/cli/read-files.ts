/** `-f FILE|DIR|-`: every resource in the files, or every problem by file, line and column. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../kit/errors.ts';
import { type Problem, showProblem } from '../../kit/parse.ts';
import { checkDocuments } from '../../mesh/document/read-documents.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import { describeRef, refOf } from '../world/change-set.ts';
import { refused, wrongUse } from './failure.ts';

const endings = ['.yaml', '.yml', '.json'];

/** Throws CommandFailure with one line per problem; nothing is left out because of an earlier one. */
export function readFiles(paths: readonly string[], readInput: () => string): Resource[] {
  const problems: Problem[] = [];
  const resources: Resource[] = [];
  const whereOf = new Map<string, string>();
  for (const source of paths.flatMap(filesOf)) {
    const found = checkDocuments(source === '-' ? readInput() : readText(source), { source });
    problems.push(...found.problems);
    for (const resource of found.resources) {
      const name = describeRef(refOf(resource));
      const before = whereOf.get(name);
      if (before !== undefined) problems.push({ source, path: '', message: `${name} is also in ${before}` });
      whereOf.set(name, source);
      resources.push(resource);
    }
  }
  if (problems.length > 0) throw refused(...problems.map(showProblem));
  if (resources.length === 0) throw refused(`there is no resource in ${paths.join(', ')}`);
  return resources;
}

function filesOf(path: string): string[] {
  if (path === '-') return ['-'];
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
    return names
      .filter((name) => endings.some((ending) => name.endsWith(ending)))
      .map((name) => join(path, name));
  } catch (thrown) {
    throw wrongUse(`cannot read ${path}: ${messageOf(thrown)}`);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    throw wrongUse(`cannot read ${path}: ${messageOf(thrown)}`);
  }
}
