// hot: one match per request (bench/micro/routes.ts).
/**
 * Compiled route matching: the rules of one service port → the first rule, in their order, that a request meets.
 *
 * The order is the pilot's (Gateway API precedence). Rules are filed by path, so a match looks at the few rules
 * whose path fits, however many there are; only the remaining conditions of those are tried one by one.
 * Paths are compared as they will be forwarded: nothing is decoded, merged or resolved.
 */
import { messageOf } from '../../kit/errors.ts';
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import type { RouteMatch, RouteRule, ValueMatch } from '../model.ts';
import { type PathEntry, PathIndex } from './path-index.ts';
import { queryValue } from './query.ts';
import { compileRegex, type Regex } from './regex.ts';

/** A request as rules see it. */
export interface RequestView {
  readonly method: string;
  /** Origin form with its query (`/a?b=1`), `*`, or empty for CONNECT. */
  readonly path: string;
  /** The value of the first field with this lower-case name. */
  header(name: string): string | undefined;
}

/** Rules of the caller's own making are given back as they are. */
export interface RouteTable<R extends Pick<RouteRule, 'match'> = RouteRule> {
  /** The first rule that `request` meets; undefined where none does. */
  match(request: RequestView): R | undefined;
}

/** Compiles the rules of one port. Throws ParseFailure with every rule that does not compile, by path below `at`. */
export function compileRoutes<R extends Pick<RouteRule, 'match'>>(
  port: { readonly rules: readonly R[] },
  at = '$',
): RouteTable<R> {
  const problems: Problem[] = [];
  const conditions = port.rules.map((rule, index) =>
    compileConditions(rule.match, (field, message) =>
      problems.push({ path: `${at}.rules[${index}].match.${field}`, message }),
    ),
  );
  if (problems.length > 0) throw new ParseFailure(problems);
  return new CompiledRoutes(port.rules, conditions);
}

/** What is left to check once the path fits; undefined where nothing is. */
interface Conditions {
  readonly pathRegex: Regex | undefined;
  readonly method: string | undefined;
  readonly headers: readonly ValueCondition[];
  readonly query: readonly ValueCondition[];
}

interface ValueCondition {
  readonly name: string;
  readonly value: string;
  readonly regex: Regex | undefined;
}

class CompiledRoutes<R extends Pick<RouteRule, 'match'>> implements RouteTable<R> {
  readonly #rules: readonly R[];
  readonly #conditions: readonly (Conditions | undefined)[];
  readonly #paths: PathIndex;
  /** Rules without a path, with the prefix `/`, or with a regular expression. */
  readonly #anywhere: Int32Array;

  constructor(rules: readonly R[], conditions: readonly (Conditions | undefined)[]) {
    const filed = fileByPath(rules);
    this.#rules = rules;
    this.#conditions = conditions;
    this.#paths = new PathIndex(entriesOf(filed.exact), entriesOf(filed.prefix));
    this.#anywhere = Int32Array.from(filed.anywhere);
  }

  match(request: RequestView): R | undefined {
    const paths = this.#paths;
    let best = this.#first(paths.walk(request.path), this.#rules.length, request);
    // The longest prefix usually holds the winner, so the shorter ones end at their first comparison.
    for (let n = paths.prefixCount - 1; n >= 0; n--) best = this.#first(paths.prefixRules(n), best, request);
    best = this.#first(this.#anywhere, best, request);
    return this.#rules[best];
  }

  /** The first of the ascending `candidates` below `best` whose conditions hold; else `best`. */
  #first(candidates: Int32Array, best: number, request: RequestView): number {
    for (let n = 0; n < candidates.length; n++) {
      const index = candidates[n] as number;
      if (index >= best) return best;
      const conditions = this.#conditions[index];
      if (conditions === undefined || hold(conditions, request)) return index;
    }
    return best;
  }
}

function hold(conditions: Conditions, request: RequestView): boolean {
  if (conditions.method !== undefined && conditions.method !== request.method) return false;
  const headers = conditions.headers;
  for (let n = 0; n < headers.length; n++) {
    const header = headers[n] as ValueCondition;
    if (!holds(header, request.header(header.name))) return false;
  }
  const query = conditions.query;
  for (let n = 0; n < query.length; n++) {
    const parameter = query[n] as ValueCondition;
    if (!holds(parameter, queryValue(request.path, parameter.name))) return false;
  }
  return conditions.pathRegex === undefined || conditions.pathRegex.matches(withoutQuery(request.path));
}

function holds(condition: ValueCondition, value: string | undefined): boolean {
  if (value === undefined) return false;
  return condition.regex === undefined ? condition.value === value : condition.regex.matches(value);
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query < 0 ? path : path.slice(0, query);
}

/** Compile time from here on. */
type Report = (field: string, message: string) => void;

function compileConditions(match: RouteMatch, report: Report): Conditions | undefined {
  const values = (field: string, all: readonly ValueMatch[]) =>
    all.map((one, index) => ({
      name: one.name,
      value: one.value,
      regex: one.kind === 'regex' ? regexOf(one.value, `${field}[${index}]`, report) : undefined,
    }));
  const pathRegex = match.path?.kind === 'regex' ? regexOf(match.path.value, 'path', report) : undefined;
  const headers = values('headers', match.headers);
  const query = values('query', match.query);
  if (pathRegex === undefined && match.method === undefined && headers.length + query.length === 0)
    return undefined;
  return { pathRegex, method: match.method, headers, query };
}

function regexOf(pattern: string, field: string, report: Report): Regex | undefined {
  try {
    return compileRegex(pattern);
  } catch (thrown) {
    report(field, messageOf(thrown));
    return undefined;
  }
}

interface Filed {
  readonly exact: Map<string, number[]>;
  readonly prefix: Map<string, number[]>;
  readonly anywhere: number[];
}

function fileByPath(rules: readonly Pick<RouteRule, 'match'>[]): Filed {
  const filed: Filed = { exact: new Map(), prefix: new Map(), anywhere: [] };
  rules.forEach((rule, index) => {
    const path = rule.match.path;
    const prefix = path?.kind === 'prefix' ? barePrefix(path.value) : '';
    if (path?.kind === 'exact') file(filed.exact, path.value, index);
    else if (prefix !== '') file(filed.prefix, prefix, index);
    else filed.anywhere.push(index);
  });
  return filed;
}

/** `/a/` and `/a` are the same prefix. */
function barePrefix(value: string): string {
  return value.endsWith('/') ? value.slice(0, -1) : value;
}

function file(byPath: Map<string, number[]>, path: string, index: number): void {
  const rules = byPath.get(path);
  if (rules === undefined) byPath.set(path, [index]);
  else rules.push(index);
}

function entriesOf(byPath: ReadonlyMap<string, readonly number[]>): PathEntry[] {
  return Array.from(byPath, ([path, rules]) => ({ path, rules: Int32Array.from(rules) }));
}
