/**
 * YAML or JSON text, of one or many documents → resources. All problems of all documents are collected,
 * each with its line and column.
 */
import {
  type Document,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
} from 'yaml';
import { messageOf } from '../../kit/errors.ts';
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import type { Path } from '../resource/kind.ts';
import { checkResource, showPath } from '../resource/read.ts';
import type { Resource } from '../resource/resource.ts';

/** Characters of one text. */
const maxTextLength = 16 * 1024 * 1024;

/** How often aliases may repeat what they stand for, in one document. */
const maxAliasCount = 100;

/** Levels of one document. */
const maxDepth = 64;

export interface DocumentOptions {
  /** The file's name, for messages. */
  readonly source?: string;
}

/** Reads every document of `text`; empty ones are left out. Throws one ParseFailure with every problem. */
export function readDocuments(text: string, options: DocumentOptions = {}): Resource[] {
  const { resources, problems } = checkDocuments(text, options);
  if (problems.length > 0) throw new ParseFailure(problems);
  return resources;
}

/** The same for several files at once: the resources that are good, and every problem. */
export function checkDocuments(
  text: string,
  options: DocumentOptions = {},
): { readonly resources: Resource[]; readonly problems: Problem[] } {
  const resources: Resource[] = [];
  const problems: Problem[] = [];
  const source = options.source === undefined ? {} : { source: options.source };
  if (text.length > maxTextLength) {
    problems.push({ ...source, path: '', message: `the text is longer than ${maxTextLength} characters` });
    return { resources, problems };
  }
  const lines = new LineCounter();
  const report = (offset: number | undefined, path: Path, message: string): void => {
    const at = offset === undefined ? undefined : lines.linePos(offset);
    const place = at === undefined || at.line === 0 ? {} : { line: at.line, column: at.col };
    problems.push({ ...source, ...place, path: showPath(path), message });
  };
  for (const document of documentsOf(text, lines, report)) {
    const resource = readDocument(document, report);
    if (resource !== undefined) resources.push(resource);
  }
  return { resources, problems };
}

type ReportAt = (offset: number | undefined, path: Path, message: string) => void;

function documentsOf(text: string, lines: LineCounter, report: ReportAt): readonly Document.Parsed[] {
  try {
    const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
    return Array.isArray(documents) ? documents : [];
  } catch (thrown) {
    report(undefined, [], faultMessage(messageOf(thrown)));
    return [];
  }
}

function readDocument(document: Document.Parsed, report: ReportAt): Resource | undefined {
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults) report(fault.pos[0], [], faultMessage(fault.message));
  if (faults.length > 0 || document.contents === null) return undefined;
  if (isScalar(document.contents) && document.contents.value === null) return undefined;
  if (hasUnsafeNodes(document, report)) return undefined;
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount });
  } catch (thrown) {
    report(document.contents.range?.[0], [], messageOf(thrown).toLowerCase());
    return undefined;
  }
  const { resource, problems } = checkResource(raw);
  for (const { path, message, isKey } of problems) report(offsetOf(document, path, isKey), path, message);
  return resource;
}

/** The parser descends by recursion; a text nested beyond its stack ends in a fault of the document. */
function faultMessage(message: string): string {
  return message.includes('call stack') ? 'nested too deeply' : message;
}

/** Keys that are no text, that JavaScript takes for something else, and levels without end. */
function hasUnsafeNodes(document: Document.Parsed, report: ReportAt): boolean {
  let found = false;
  visit(document, {
    Pair(_, pair) {
      const key = pair.key as Node | null;
      const isText = isScalar(key) && (typeof key.value === 'string' || typeof key.value === 'number');
      if (isText && key.value !== '__proto__') return;
      found = true;
      report(
        key?.range?.[0],
        [],
        isText ? "'__proto__' cannot be a field" : 'expected text as the name of a field',
      );
    },
    Collection(_, node, path) {
      if (path.length <= maxDepth * 2) return;
      found = true;
      report(node.range?.[0], [], 'nested too deeply');
      return visit.BREAK;
    },
  });
  return found;
}

/** Where the value at `path` begins, or its key; of what is not there, the nearest thing around it. */
function offsetOf(document: Document.Parsed, path: Path, isKey: boolean): number | undefined {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0];
  for (const [depth, step] of path.entries()) {
    const pair = isMap(node) ? node.items.find((item) => keyOf(item) === String(step)) : undefined;
    if (isMap(node) && pair === undefined) break;
    const key = pair?.key as Node | undefined;
    node = pair === undefined ? (document.getIn(path.slice(0, depth + 1), true) as unknown) : pair.value;
    const value = node as Node | null | undefined;
    const isLast = depth === path.length - 1;
    // A missing field is told at the key of what should have it, not at the first of its other fields.
    const start =
      (isLast && isKey) || isMap(node) ? (key?.range?.[0] ?? value?.range?.[0]) : value?.range?.[0];
    offset = start ?? key?.range?.[0] ?? offset;
  }
  return offset;
}

function keyOf(item: unknown): string | undefined {
  return isPair(item) && isScalar(item.key) ? String(item.key.value) : undefined;
}
