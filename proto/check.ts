/** Small readers that turn fields of generated messages into model values and report each problem by its path. */
import type { Message } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { messageOf } from '../kit/errors.ts';
import { ParseFailure, type Problem } from '../kit/parse.ts';
import { ignoreUnknown } from './unknown.ts';

export type Report = (problem: Problem) => void;

/** A closed set of words and their numbers on the wire. */
export interface Words<W extends string, N extends number> {
  toWire(word: W): N;
  /** Reports a number that has no word, 0 (unspecified) included. */
  fromWire(value: number, path: string, report: Report): W;
  /** The word, or undefined where a newer sender knows more. */
  find(value: number): W | undefined;
}

export function words<const T extends Readonly<Record<string, number>>>(
  table: T,
): Words<keyof T & string, T[keyof T]> {
  type W = keyof T & string;
  const byNumber = new Map(Object.entries(table).map(([word, value]) => [value as number, word as W]));
  const [first] = Object.keys(table) as unknown as [W];
  return {
    toWire: (word) => table[word],
    find: (value) => byNumber.get(value),
    fromWire(value, path, report) {
      const word = byNumber.get(value);
      if (word !== undefined) return word;
      report({ path, message: value === 0 ? 'missing' : `unknown value ${value}` });
      return first;
    },
  };
}

/** Decodes, reads, and throws a ParseFailure that names every problem; nothing else is ever thrown. */
export function decode<M extends Message, T>(
  schema: GenMessage<M>,
  bytes: Uint8Array,
  path: string,
  read: (message: M, path: string, report: Report) => T,
): T {
  return collect((report) => {
    let message: M;
    try {
      message = fromBinary(schema, bytes);
    } catch (cause) {
      throw new ParseFailure([{ path, message: `not a ${schema.typeName}: ${messageOf(cause)}` }]);
    }
    return read(message, path, report);
  });
}

/** Like `decode`, for messages whose unknown fields are ignored and counted. */
export function decodeLoose<M extends Message, T>(
  schema: GenMessage<M>,
  bytes: Uint8Array,
  path: string,
  read: (message: M, path: string, report: Report) => T,
): T {
  return decode(schema, bytes, path, (message, at, report) => {
    ignoreUnknown(schema, message);
    return read(message, at, report);
  });
}

/** What `read` makes, unless it reported problems: then a ParseFailure with all of them. */
export function collect<T>(read: (report: Report) => T): T {
  const problems: Problem[] = [];
  const value = read((problem) => problems.push(problem));
  if (problems.length > 0) throw new ParseFailure(problems);
  return value;
}

/** A port from 1 to 65535. */
export function portFrom(value: number, path: string, report: Report): number {
  if (value < 1 || value > 65535) report({ path, message: `expected a port from 1 to 65535, got ${value}` });
  return value;
}

/** A port, or 0 for "none" or "any". */
export function portOrZero(value: number, path: string, report: Report): number {
  return value === 0 ? 0 : portFrom(value, path, report);
}

export function filled(value: string, path: string, report: Report): string {
  if (value === '') report({ path, message: 'missing' });
  return value;
}

/** A 64-bit number that JavaScript can hold exactly. */
export function safeInteger(value: bigint, path: string, report: Report): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < 0n) {
    report({ path, message: `expected a number up to 2^53-1, got ${value}` });
  }
  return Number(value);
}

/** Each member by `read`, under `path[index]`. */
export function each<M, T>(
  list: readonly M[],
  path: string,
  report: Report,
  read: (member: M, path: string, report: Report) => T,
): T[] {
  return list.map((member, index) => read(member, `${path}[${index}]`, report));
}
