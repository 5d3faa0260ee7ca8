/**
 * Compiled choice by server name (SNI): the rules of one opaque port → the rule that a connection meets.
 * An exact name goes before a wildcard, a longer wildcard before a shorter one, and last come rules that name none,
 * which also take connections without a name. Of equal ones the first in the pilot's order counts.
 */
import type { RouteRule } from '../model.ts';

/** Rules of the caller's own making are given back as they are. */
export interface ServerNameTable<R> {
  /** The rule for `serverName` (lower case, undefined where there is none); undefined where none fits. */
  match(serverName: string | undefined): R | undefined;
}

export function compileServerNames<R extends Pick<RouteRule, 'match'>>(
  rules: readonly R[],
): ServerNameTable<R> {
  const exact = new Map<string, R>();
  /** By ending, its first dot included: `.example.com`. */
  const endings = new Map<string, R>();
  let anyName: R | undefined;
  for (const rule of rules) {
    const { serverName } = rule.match;
    if (serverName === undefined) anyName ??= rule;
    else if (serverName.startsWith('*.')) addFirst(endings, serverName.slice(1), rule);
    else addFirst(exact, serverName, rule);
  }
  return {
    match(serverName) {
      if (serverName === undefined) return anyName;
      return exact.get(serverName) ?? longestEnding(endings, serverName) ?? anyName;
    },
  };
}

function addFirst<R>(rules: Map<string, R>, key: string, rule: R): void {
  if (!rules.has(key)) rules.set(key, rule);
}

/** `*` stands for one label or more, never for none. */
function longestEnding<R>(endings: ReadonlyMap<string, R>, serverName: string): R | undefined {
  if (endings.size === 0) return undefined;
  for (let dot = serverName.indexOf('.', 1); dot > 0; dot = serverName.indexOf('.', dot + 1)) {
    const rule = endings.get(serverName.slice(dot));
    if (rule !== undefined) return rule;
  }
  return undefined;
}
