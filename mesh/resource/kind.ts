/** A kind of resource: one file, one value of this type, one line in `index.ts`. */
import type { Static, TSchema } from 'typebox';

/** Steps from the resource's root to a value: `['spec', 'rules', 0, 'matches']`. */
export type Path = readonly (string | number)[];

/** Tells a problem with the value at `path`. */
export type Report = (path: Path, message: string) => void;

export interface ResourceKind {
  readonly name: string;
  /** Those it may be written with, the preferred one first. */
  readonly apiVersions: readonly string[];
  /** The form of `metadata.name`. */
  readonly nameFormat: 'dns-label' | 'dns-name';
  /** Of `spec`. */
  readonly schema: TSchema;
  /** A good `spec` that uses every field, for documentation and the contract suite. */
  readonly example: unknown;
  /** What the schema cannot say; called where it holds, with defaults filled in. Paths begin below `spec`. */
  readonly check: (spec: never, report: Report) => void;
}

/** Ties the schema of a kind to the type that its own checks see. */
export function defineKind<S extends TSchema>(kind: {
  readonly name: string;
  readonly apiVersions?: readonly string[];
  readonly nameFormat?: 'dns-label' | 'dns-name';
  readonly schema: S;
  readonly example: unknown;
  readonly check?: (spec: Static<S>, report: Report) => void;
}): ResourceKind {
  return {
    name: kind.name,
    apiVersions: kind.apiVersions ?? ['heddle/v1'],
    nameFormat: kind.nameFormat ?? 'dns-name',
    schema: kind.schema,
    example: kind.example,
    check: (kind.check ?? (() => {})) as ResourceKind['check'],
  };
}

/** What the Gateway API's kinds may be written with. */
export function gatewayVersions(preferred: 'v1' | 'v1beta1' | 'v1alpha2'): string[] {
  const versions = [preferred, ...['v1', 'v1beta1', 'v1alpha2'].filter((version) => version !== preferred)];
  return versions.map((version) => `gateway.networking.k8s.io/${version}`);
}

/** Reports every value that occurs twice under `key`; `at` leads to the list. */
export function refuseTwins<T>(
  items: readonly T[],
  at: Path,
  what: string,
  key: (item: T) => string | number | undefined,
  report: Report,
): void {
  const seen = new Set<string | number>();
  items.forEach((item, index) => {
    const value = key(item);
    if (value === undefined) return;
    if (seen.has(value)) report([...at, index], `${what} ${JSON.stringify(value)} is there twice`);
    seen.add(value);
  });
}
