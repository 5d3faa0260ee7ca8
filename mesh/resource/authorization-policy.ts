/** Who may call what of the selected workloads; shapes and meaning are Istio's. */
import { type Static, Type } from 'typebox';
import { parseIdentity } from '../identity.ts';
import { defineKind, type Path, type Report } from './kind.ts';
import { closed, list, oneOf, selector, text } from './schema.ts';

const source = closed({
  /** SPIFFE names, with or without `spiffe://`; `*` is any verified caller. */
  principals: list(Type.String({ maxLength: 2048 })),
  namespaces: list(text('dns-label')),
});

const operation = closed({
  methods: list(text('token')),
  /** Exact, or a beginning by a star at the end: `/admin*`. */
  paths: list(Type.String({ minLength: 1, maxLength: 1024 })),
  ports: list(Type.Unsafe<number | string>({ type: ['integer', 'string'] })),
});

const rule = closed({
  /** Any of these; none given: whoever. */
  from: list(closed({ source }), { minItems: 0 }),
  /** Any of these; none given: whatever. */
  to: list(closed({ operation })),
});

const schema = closed({
  selector,
  action: oneOf(['ALLOW', 'DENY'], { default: 'ALLOW' }),
  /** None: ALLOW admits nobody, DENY refuses nobody. */
  rules: list(rule),
});

export type AuthorizationPolicySpec = Static<typeof schema>;
export type AuthorizationPolicyRule = Static<typeof rule>;

export const authorizationPolicy = defineKind({
  name: 'AuthorizationPolicy',
  schema,
  example: {
    selector: { matchLabels: { app: 'orders' } },
    action: 'ALLOW',
    rules: [
      {
        from: [
          { source: { principals: ['spiffe://mesh.local/ns/shop/sa/web'], namespaces: ['shop'] } },
          { source: { principals: ['*'] } },
        ],
        to: [{ operation: { methods: ['GET', 'HEAD'], paths: ['/orders', '/items/*'], ports: [8080] } }],
      },
    ],
  },
  check(spec, report) {
    spec.rules.forEach((each, index) => {
      checkRule(each, ['rules', index], report);
    });
  },
});

function checkRule(each: AuthorizationPolicyRule, at: Path, report: Report): void {
  each.from.forEach(({ source: { principals, namespaces } }, index) => {
    const here = [...at, 'from', index, 'source'];
    if (principals.length + namespaces.length === 0) report(here, "expected 'principals' or 'namespaces'");
    principals.forEach((principal, nth) => {
      if (!isPrincipal(principal)) report([...here, 'principals', nth], principalProblem(principal));
    });
  });
  each.to.forEach(({ operation: { methods, paths, ports } }, index) => {
    const here = [...at, 'to', index, 'operation'];
    if (methods.length + paths.length + ports.length === 0)
      report(here, "expected 'methods', 'paths' or 'ports'");
    paths.forEach((path, nth) => {
      if (!pathShape.test(path)) report([...here, 'paths', nth], pathProblem(path));
    });
    ports.forEach((port, nth) => {
      const number = Number(port);
      const isFine = Number.isInteger(number) && number >= 1 && number <= 65_535;
      if (!isFine)
        report([...here, 'ports', nth], `expected a port from 1 to 65535, got ${JSON.stringify(port)}`);
    });
  });
}

/** The full name of a principal as it is written, or `*`. */
export function fullPrincipal(principal: string): string {
  return principal === '*' || principal.startsWith('spiffe://') ? principal : `spiffe://${principal}`;
}

function isPrincipal(principal: string): boolean {
  return principal === '*' || parseIdentity(fullPrincipal(principal))?.kind === 'workload';
}

function principalProblem(principal: string): string {
  return `expected spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT or '*', got ${JSON.stringify(principal)}`;
}

/** No query (it is not looked at), no star but the last character. */
const pathShape = /^(?:\*|\/[\x21-\x22\x24-\x29\x2b-\x3e\x40-\x7e]*\*?)$/;

function pathProblem(path: string): string {
  return `expected a path that begins with /, with a star at most at its end, got ${JSON.stringify(path)}`;
}
