/** What a refused value is told, in our own words. */
import type { ErrorObject } from 'ajv';
import { nearest } from '../../kit/nearest.ts';
import { formatByName } from './format.ts';

/** Ajv's parameters, of all the keywords below. */
interface Params {
  readonly missingProperty?: string;
  readonly type?: string | readonly string[];
  readonly allowedValues?: readonly unknown[];
  readonly format?: string;
  readonly limit?: number;
}

/** The words for a schema's error about `value`. */
export function schemaMessage(error: ErrorObject, value: unknown): string {
  const params = error.params as Params;
  switch (error.keyword) {
    case 'required':
      return `missing field '${params.missingProperty}'`;
    case 'type':
      return `expected ${typeName(params.type)}, got ${show(value)}`;
    case 'enum': {
      const allowed = params.allowedValues ?? [];
      const near = typeof value === 'string' ? meant(value, allowed.map(String)) : '';
      return `expected ${allowed.map(show).join(' or ')}, got ${show(value)}${near}`;
    }
    case 'format':
      return `expected ${formatByName.get(params.format ?? '')?.says}, got ${show(value)}`;
    case 'minimum':
      return `expected at least ${params.limit}, got ${show(value)}`;
    case 'maximum':
      return `expected at most ${params.limit}, got ${show(value)}`;
    case 'minItems':
      return `expected at least ${params.limit} item${params.limit === 1 ? '' : 's'}`;
    case 'maxItems':
    case 'maxProperties':
      return `expected at most ${params.limit} items`;
    case 'minLength':
      return 'expected text that is not empty';
    case 'maxLength':
      return `expected at most ${params.limit} characters`;
    default:
      return error.message ?? error.keyword;
  }
}

function typeName(type: unknown): string {
  const names: Readonly<Record<string, string>> = {
    object: 'an object',
    array: 'a list',
    string: 'text',
    integer: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
  };
  const types = Array.isArray(type) ? type : String(type).split(',');
  return types.map((one) => names[String(one)] ?? String(one)).join(' or ');
}

/** ", did you mean 'weight'?" or nothing. */
export function meant(word: string, known: Iterable<string>): string {
  const near = nearest(word, known)[0];
  return near === undefined ? '' : `, did you mean '${near}'?`;
}

/** Characters of a value that a message repeats. */
const maxShownLength = 80;

/** A value as messages repeat it. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const shown = value === undefined ? 'nothing' : JSON.stringify(value);
  return shown.length > maxShownLength ? `${shown.slice(0, maxShownLength)}…` : shown;
}
