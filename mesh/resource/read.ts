/**
 * Unknown input → Resource: the kind's schema, its own checks, and the metadata that all kinds share.
 * Every problem is collected; fields that nobody knows are refused with the nearest known name.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { ParseFailure } from '../../kit/parse.ts';
import { formatByName, formats } from './format.ts';
import { resourceKinds } from './index.ts';
import type { Path, Report, ResourceKind } from './kind.ts';
import { meant, schemaMessage, show } from './message.ts';
import type { Metadata, Resource } from './resource.ts';
import { closed, table, text } from './schema.ts';

/** A problem by its steps, for who can say in which line they lie. */
export interface ResourceProblem {
  readonly path: Path;
  readonly message: string;
  /** Whether the last step names a field that should not be there. */
  readonly isKey: boolean;
}

export type ReadOutcome =
  | { readonly resource: Resource; readonly problems: readonly [] }
  | { readonly resource: undefined; readonly problems: readonly ResourceProblem[] };

/** Reads one resource. Throws ParseFailure with every problem; `raw` itself is left as it is. */
export function readResource(raw: unknown): Resource {
  const { resource, problems } = checkResource(raw);
  if (resource !== undefined) return resource;
  throw new ParseFailure(problems.map(({ path, message }) => ({ path: showPath(path), message })));
}

/** Reads one resource and answers with it or with every problem. */
export function checkResource(raw: unknown): ReadOutcome {
  const problems: ResourceProblem[] = [];
  const refuse = (path: Path, message: string, isKey = false): void => {
    problems.push({ path, message, isKey });
  };
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    refuse([], `expected a resource with apiVersion, kind, metadata and spec, got ${show(raw)}`);
    return { resource: undefined, problems };
  }
  const fields = structuredClone(raw) as RawResource;
  const kind = kindOf(fields, refuse);
  refuseOtherFields(fields, refuse);
  const metadata = readMetadata(fields.metadata, kind, refuse);
  if (kind === undefined) return { resource: undefined, problems };
  const spec = readSpec(fields.spec, kind, refuse);
  if (problems.length > 0) return { resource: undefined, problems };
  const resource: Resource = { apiVersion: fields.apiVersion as string, kind: kind.name, metadata, spec };
  return { resource: deepFreeze(resource), problems: [] };
}

/** `spec.rules[0].matches`; a step that is no plain word stands in brackets and quotes. */
export function showPath(path: Path): string {
  let shown = '';
  for (const step of path) {
    if (typeof step === 'number') shown += `[${step}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)) shown += shown === '' ? step : `.${step}`;
    else shown += `[${JSON.stringify(step)}]`;
  }
  return shown;
}

interface RawResource {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly metadata?: unknown;
  readonly spec?: unknown;
}

type Refuse = (path: Path, message: string, isKey?: boolean) => void;

const topFields = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

function kindOf(fields: RawResource, refuse: Refuse): ResourceKind | undefined {
  const { kind: name, apiVersion } = fields;
  if (typeof name !== 'string') {
    refuse(
      name === undefined ? [] : ['kind'],
      name === undefined ? "missing field 'kind'" : `expected text, got ${show(name)}`,
    );
    return undefined;
  }
  const kind = resourceKinds.get(name);
  if (kind === undefined) {
    refuse(['kind'], `unknown kind '${name}'${meant(name, resourceKinds.keys())}`);
    return undefined;
  }
  if (apiVersion === undefined) refuse([], `missing field 'apiVersion' (${kind.apiVersions[0]})`);
  else if (!kind.apiVersions.includes(String(apiVersion))) {
    refuse(
      ['apiVersion'],
      `expected ${kind.apiVersions.join(' or ')} for a ${name}, got ${show(apiVersion)}`,
    );
  }
  return kind;
}

function refuseOtherFields(fields: RawResource, refuse: Refuse): void {
  for (const field of Object.keys(fields)) {
    if (!topFields.includes(field))
      refuse([field], `unknown field '${field}'${meant(field, topFields)}`, true);
  }
}

const metadataSchema = closed({
  name: { type: 'string' },
  namespace: text('dns-label', { default: 'default' }),
  labels: table('label-key', 'label-value'),
  annotations: table('label-key'),
});

/** What a Kubernetes API server adds; nobody here looks at it. */
const serverFields = [
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'ownerReferences',
  'finalizers',
  'generateName',
  'selfLink',
];

function readMetadata(raw: unknown, kind: ResourceKind | undefined, refuse: Refuse): Metadata {
  const fields = typeof raw === 'object' && raw !== null ? (raw as Record<string, unknown>) : raw;
  if (fields === undefined) refuse([], "missing field 'metadata'");
  else {
    if (typeof fields === 'object')
      for (const field of serverFields) delete (fields as Record<string, unknown>)[field];
    validate(validatorOf('metadata', metadataSchema), fields, ['metadata'], refuse);
    checkName((fields as Metadata | null)?.name, kind, refuse);
  }
  return fields as Metadata;
}

function checkName(name: unknown, kind: ResourceKind | undefined, refuse: Refuse): void {
  const format = formatByName.get(kind?.nameFormat ?? 'dns-name');
  if (typeof name === 'string' && format !== undefined && !format.test(name)) {
    refuse(['metadata', 'name'], `expected ${format.says}, got ${show(name)}`);
  }
}

function readSpec(raw: unknown, kind: ResourceKind, refuse: Refuse): unknown {
  if (raw === undefined) {
    refuse([], "missing field 'spec'");
    return undefined;
  }
  const report: Report = (path, message) => refuse(['spec', ...path], message);
  if (validate(validatorOf(kind.name, kind.schema), raw, ['spec'], refuse)) kind.check(raw as never, report);
  return raw;
}

let ajv: Ajv | undefined;
const validators = new Map<string, ValidateFunction>();

/** Schemas are compiled at their first use: a command that reads one kind pays for one. */
function validatorOf(name: string, schema: object): ValidateFunction {
  ajv ??= new Ajv({
    allErrors: true,
    strict: true,
    allowUnionTypes: true,
    useDefaults: true,
    verbose: true,
    formats: Object.fromEntries(formats.map((format) => [format.name, format.test])),
  });
  let validator = validators.get(name);
  if (validator === undefined) {
    validator = ajv.compile(schema);
    validators.set(name, validator);
  }
  return validator;
}

/** Fills in defaults and checks; whether nothing was refused. */
function validate(validator: ValidateFunction, value: unknown, at: Path, refuse: Refuse): boolean {
  if (validator(value)) return true;
  for (const error of validator.errors ?? []) {
    // A bad key is told by the error inside `propertyNames`.
    if (error.keyword !== 'propertyNames') refuseError(error, value, at, refuse);
  }
  return false;
}

function refuseError(error: ErrorObject, root: unknown, at: Path, refuse: Refuse): void {
  const path = [...at, ...stepsOf(error.instancePath, root)];
  if (error.keyword === 'additionalProperties') {
    const field = String((error.params as { additionalProperty?: unknown }).additionalProperty);
    const known = Object.keys((error.parentSchema as { properties?: object }).properties ?? {});
    refuse([...path, field], `unknown field '${field}'${meant(field, known)}`, true);
  } else if (error.propertyName !== undefined) {
    refuse([...path, error.propertyName], `as a name: ${schemaMessage(error, error.propertyName)}`, true);
  } else {
    refuse(path, schemaMessage(error, error.data));
  }
}

/** Ajv's JSON pointer as steps; only steps into lists are numbers. */
function stepsOf(pointer: string, root: unknown): (string | number)[] {
  const steps: (string | number)[] = [];
  let value = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    steps.push(Array.isArray(value) ? Number(key) : key);
    value = (value as Record<string, unknown> | undefined)?.[key];
  }
  return steps;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
