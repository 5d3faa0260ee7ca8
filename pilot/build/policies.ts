/** What binds a workload as receiver: authorization and the mode of mTLS. */
import type {
  AuthorizationPath,
  AuthorizationPolicy,
  AuthorizationRule,
  MtlsMode,
} from '../../mesh/model.ts';
import {
  type AuthorizationPolicyRule,
  type AuthorizationPolicySpec,
  fullPrincipal,
} from '../../mesh/resource/authorization-policy.ts';
import type { Catalog, Stored } from './catalog.ts';
import { isSelected } from './selection.ts';

/** Without a PeerAuthentication a port takes nobody but the mesh. */
const defaultMode: MtlsMode = 'strict';

/** The names of the policies that bind `workload`, in the order of their names. */
export function policiesOf(catalog: Catalog, workload: Stored<'Workload'>): string[] {
  const { namespace, labels } = workload.resource.metadata;
  return catalog
    .list('AuthorizationPolicy', namespace)
    .filter((policy) => isSelected(policy.resource.spec.selector, labels))
    .map((policy) => policy.key)
    .sort();
}

/** A policy as sidecars check it: every pair of a `from` and a `to` is a rule. */
export function authorizationPolicy(policy: Stored<'AuthorizationPolicy'>): AuthorizationPolicy {
  const spec: AuthorizationPolicySpec = policy.resource.spec;
  return {
    name: policy.key,
    action: spec.action === 'DENY' ? 'deny' : 'allow',
    rules: spec.rules.flatMap(flatRules),
  };
}

function flatRules(rule: AuthorizationPolicyRule): AuthorizationRule[] {
  const sources = rule.from.length > 0 ? rule.from.map(({ source }) => source) : [undefined];
  const operations = rule.to.length > 0 ? rule.to.map(({ operation }) => operation) : [undefined];
  return sources.flatMap((source) =>
    operations.map((operation) => ({
      principals: (source?.principals ?? []).map(fullPrincipal),
      namespaces: source?.namespaces ?? [],
      methods: operation?.methods ?? [],
      paths: (operation?.paths ?? []).map(pathOf),
      ports: (operation?.ports ?? []).map(Number),
    })),
  );
}

function pathOf(path: string): AuthorizationPath {
  return path.endsWith('*') ? { kind: 'prefix', value: path.slice(0, -1) } : { kind: 'exact', value: path };
}

/** The mode of one port: one for this port, one for the workload, one for the namespace, in that order. */
export function mtlsMode(catalog: Catalog, workload: Stored<'Workload'>, port: number): MtlsMode {
  const { namespace, labels } = workload.resource.metadata;
  const specs = catalog.list('PeerAuthentication', namespace).map((policy) => policy.resource.spec);
  const own = specs.filter((spec) => spec.selector !== undefined && isSelected(spec.selector, labels));
  const ofPort = own.find((spec) => Object.hasOwn(spec.portLevelMtls, String(port)));
  const mode =
    ofPort?.portLevelMtls[String(port)]?.mode ??
    own[0]?.mtls.mode ??
    specs.find((spec) => spec.selector === undefined)?.mtls.mode;
  return mode === undefined ? defaultMode : mode === 'STRICT' ? 'strict' : 'permissive';
}
