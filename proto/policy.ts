/** `AuthorizationPolicy` to and from its message. */
import { create } from '@bufbuild/protobuf';
import type { AuthorizationPolicy, AuthorizationRule } from '../mesh/model.ts';
import { each, filled, portFrom, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { authorizationActions, authorizationPathKinds } from './words.ts';

export function policyToWire(policy: AuthorizationPolicy): wire.AuthorizationPolicy {
  return create(wire.AuthorizationPolicySchema, {
    name: policy.name,
    action: authorizationActions.toWire(policy.action),
    rules: policy.rules.map((rule) => ({
      principals: [...rule.principals],
      namespaces: [...rule.namespaces],
      methods: [...rule.methods],
      paths: rule.paths.map(({ kind, value }) => ({ kind: authorizationPathKinds.toWire(kind), value })),
      ports: [...rule.ports],
    })),
  });
}

export function policyFromWire(
  message: wire.AuthorizationPolicy,
  path: string,
  report: Report,
): AuthorizationPolicy {
  return {
    name: filled(message.name, `${path}.name`, report),
    action: authorizationActions.fromWire(message.action, `${path}.action`, report),
    rules: each(message.rules, `${path}.rules`, report, ruleFromWire),
  };
}

function ruleFromWire(message: wire.AuthorizationRule, path: string, report: Report): AuthorizationRule {
  return {
    principals: message.principals,
    namespaces: message.namespaces,
    methods: message.methods,
    paths: each(message.paths, `${path}.paths`, report, (inner, at) => ({
      kind: authorizationPathKinds.fromWire(inner.kind, `${at}.kind`, report),
      value: inner.value,
    })),
    ports: each(message.ports, `${path}.ports`, report, portFrom),
  };
}
