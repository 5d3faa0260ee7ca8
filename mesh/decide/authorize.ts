// hot: one check per request at the receiver, and one per connection of an opaque port.
/**
 * Compiled authorization: any `deny` rule that matches refuses; where any `allow` policy exists, one of its rules
 * must match. The meaning is Istio's, so a policy carried over decides the same.
 */
import type { AuthorizationPolicy, AuthorizationRule } from '../model.ts';
import { isNormalPath, normalPath } from './normal-path.ts';

export interface AccessRequest {
  /** The caller's verified SPIFFE name; undefined where it showed none. */
  readonly principal: string | undefined;
  /** The namespace in that name. */
  readonly namespace: string | undefined;
  /** Undefined, like `path`, for opaque TCP. */
  readonly method: string | undefined;
  /** Origin form; its query is not looked at. */
  readonly path: string | undefined;
  /** The receiver's port. */
  readonly port: number;
}

export interface Verdict {
  readonly allowed: boolean;
  /** What decided; undefined where nothing matched. */
  readonly policy: string | undefined;
  /** The index of the rule in that policy, or -1. */
  readonly rule: number;
}

export interface Authorization {
  /** Whether any policy applies at all; if not, every request is allowed. */
  readonly isEmpty: boolean;
  /** The verdicts are shared objects: nothing is allocated. */
  check(request: AccessRequest): Verdict;
}

export function compileAuthorization(policies: readonly AuthorizationPolicy[]): Authorization {
  return new CompiledAuthorization(policies);
}

const nothingApplies: Verdict = Object.freeze({ allowed: true, policy: undefined, rule: -1 });
const noneAllowed: Verdict = Object.freeze({ allowed: false, policy: undefined, rule: -1 });

class CompiledAuthorization implements Authorization {
  readonly isEmpty: boolean;
  readonly #deny: readonly CompiledRule[];
  readonly #allow: readonly CompiledRule[];
  readonly #otherwise: Verdict;
  /** Whether any rule looks at paths. */
  readonly #usesPaths: boolean;

  constructor(policies: readonly AuthorizationPolicy[]) {
    this.isEmpty = policies.length === 0;
    this.#deny = policies.filter((policy) => policy.action === 'deny').flatMap(compilePolicy);
    this.#allow = policies.filter((policy) => policy.action === 'allow').flatMap(compilePolicy);
    this.#otherwise = policies.some((policy) => policy.action === 'allow') ? noneAllowed : nothingApplies;
    this.#usesPaths = policies.some((policy) => policy.rules.some((rule) => rule.paths.length > 0));
  }

  check(request: AccessRequest): Verdict {
    let raw: string | undefined;
    let normal: string | undefined;
    if (this.#usesPaths && request.path !== undefined) {
      const query = request.path.indexOf('?');
      raw = query < 0 ? request.path : request.path.slice(0, query);
      normal = isNormalPath(raw) ? raw : normalPath(raw);
    }
    const refused = firstMatch(this.#deny, request, raw, normal);
    if (refused !== undefined) return refused.verdict;
    return firstMatch(this.#allow, request, raw, normal)?.verdict ?? this.#otherwise;
  }
}

interface CompiledRule {
  readonly verdict: Verdict;
  readonly isDeny: boolean;
  readonly anyPrincipal: boolean;
  /** Undefined: no condition. */
  readonly principals: ReadonlySet<string> | undefined;
  readonly namespaces: ReadonlySet<string> | undefined;
  readonly methods: ReadonlySet<string> | undefined;
  readonly ports: ReadonlySet<number> | undefined;
  readonly paths: readonly CompiledPath[] | undefined;
}

interface CompiledPath {
  readonly isPrefix: boolean;
  readonly raw: string;
  readonly normal: string;
}

function firstMatch(
  rules: readonly CompiledRule[],
  request: AccessRequest,
  raw: string | undefined,
  normal: string | undefined,
): CompiledRule | undefined {
  for (let n = 0; n < rules.length; n++) {
    const rule = rules[n] as CompiledRule;
    if (matchesPeer(rule, request) && matchesHttp(rule, request.method, raw, normal)) return rule;
  }
  return undefined;
}

function matchesPeer(rule: CompiledRule, request: AccessRequest): boolean {
  if (rule.ports !== undefined && !rule.ports.has(request.port)) return false;
  const { principal, namespace } = request;
  if (rule.principals !== undefined) {
    if (principal === undefined) return false;
    if (!rule.anyPrincipal && !rule.principals.has(principal)) return false;
  }
  return rule.namespaces === undefined || (namespace !== undefined && rule.namespaces.has(namespace));
}

/** Bytes of an opaque port have no method or path: conditions on them never allow, and do not keep a denial away. */
function matchesHttp(
  rule: CompiledRule,
  method: string | undefined,
  raw: string | undefined,
  normal: string | undefined,
): boolean {
  if (method === undefined) return rule.isDeny || (rule.methods === undefined && rule.paths === undefined);
  if (rule.methods !== undefined && !rule.methods.has(method)) return false;
  if (rule.paths === undefined) return true;
  if (raw === undefined || normal === undefined) return rule.isDeny;
  return matchesPath(rule.paths, rule.isDeny, raw, normal);
}

function matchesPath(paths: readonly CompiledPath[], isDeny: boolean, raw: string, normal: string): boolean {
  for (let n = 0; n < paths.length; n++) {
    const path = paths[n] as CompiledPath;
    const isRaw = fits(path, path.raw, raw);
    // When in doubt, refuse: a denial bites in either form, an admission must hold in both.
    if (isDeny ? isRaw || fits(path, path.normal, normal) : isRaw && fits(path, path.normal, normal))
      return true;
  }
  return false;
}

function fits(path: CompiledPath, wanted: string, actual: string): boolean {
  return path.isPrefix ? actual.startsWith(wanted) : actual === wanted;
}

function compilePolicy(policy: AuthorizationPolicy): CompiledRule[] {
  return policy.rules.map((rule, index) => compileRule(policy, rule, index));
}

function compileRule(policy: AuthorizationPolicy, rule: AuthorizationRule, index: number): CompiledRule {
  const isDeny = policy.action === 'deny';
  return {
    verdict: Object.freeze({ allowed: !isDeny, policy: policy.name, rule: index }),
    isDeny,
    anyPrincipal: rule.principals.includes('*'),
    principals: setOf(rule.principals),
    namespaces: setOf(rule.namespaces),
    methods: setOf(rule.methods),
    ports: setOf(rule.ports),
    paths: rule.paths.length === 0 ? undefined : rule.paths.map(compilePath),
  };
}

function compilePath(path: { readonly kind: 'exact' | 'prefix'; readonly value: string }): CompiledPath {
  return { isPrefix: path.kind === 'prefix', raw: path.value, normal: normalPath(path.value) };
}

function setOf<T>(values: readonly T[]): ReadonlySet<T> | undefined {
  return values.length === 0 ? undefined : new Set(values);
}
