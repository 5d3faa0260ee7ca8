/** The resources in files and folders, as `-f` names them. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { systemReason } from '../../kit/errors.ts';
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import { checkDocuments } from '../../mesh/document/read-documents.ts';
import type { Resource } from '../../mesh/resource/resource.ts';

const endings = ['.yaml', '.yml', '.json'];

/**
 * Reads every file, and in folders (with those inside) every `.yaml`, `.yml` and `.json`, in the order of their names;
 * `-` is standard input. Throws one ParseFailure with every problem of every file.
 */
export function readResourceFiles(
  paths: readonly string[],
  readInput = () => readFileSync(0, 'utf8'),
): Resource[] {
  const problems: Problem[] = [];
  const resources: Resource[] = [];
  const seen = new Map<string, string>();
  for (const path of paths) {
    for (const file of filesOf(path, problems)) {
      for (const resource of readFile(file, readInput, problems)) {
        refuseTwin(resource, file, seen, problems);
        resources.push(resource);
      }
    }
  }
  if (problems.length > 0) throw new ParseFailure(problems);
  return resources;
}

function filesOf(path: string, problems: Problem[]): string[] {
  if (path === '-') return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => endings.some((ending) => name.endsWith(ending)))
      .sort()
      .map((name) => join(path, name));
  } catch (thrown) {
    problems.push(unreadable(path, thrown));
    return [];
  }
}

function readFile(file: string, readInput: () => string, problems: Problem[]): Resource[] {
  try {
    const source = file === '-' ? 'standard input' : file;
    const read = checkDocuments(file === '-' ? readInput() : readFileSync(file, 'utf8'), { source });
    problems.push(...read.problems);
    return read.resources;
  } catch (thrown) {
    problems.push(unreadable(file, thrown));
    return [];
  }
}

function unreadable(source: string, thrown: unknown): Problem {
  return { source, path: '', message: `cannot be read: ${systemReason(thrown)}` };
}

/** Of two resources with one name one would silently win. */
function refuseTwin(resource: Resource, file: string, seen: Map<string, string>, problems: Problem[]): void {
  const { kind, metadata } = resource;
  const id = `${kind} ${metadata.namespace}/${metadata.name}`;
  const other = seen.get(id);
  if (other === undefined) seen.set(id, file);
  else problems.push({ source: file, path: '', message: `${id} is also in ${other}` });
}
