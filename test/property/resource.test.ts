/**
 * Resources made from the schemas themselves: what is accepted comes back from YAML and JSON as it was,
 * and no text, however broken, ends in anything but a ParseFailure.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ParseFailure } from '../../kit/parse.ts';
import { readDocuments } from '../../mesh/document/read-documents.ts';
import { writeDocument, writeDocuments } from '../../mesh/document/write-document.ts';
import type { FormatName } from '../../mesh/resource/format.ts';
import { resourceKinds } from '../../mesh/resource/index.ts';
import type { ResourceKind } from '../../mesh/resource/kind.ts';
import { checkResource, readResource } from '../../mesh/resource/read.ts';
import type { Resource } from '../../mesh/resource/resource.ts';

/** The part of JSON Schema that kinds are written in. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly format?: FormatName;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly minLength?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: Schema;
  readonly additionalProperties?: boolean | Schema;
}

const samples: Readonly<Record<FormatName, readonly string[]>> = {
  'dns-label': ['a', 'orders-v2', '0x', 'true', 'null'],
  'dns-name': ['a.b', 'orders', '1.2', 'on'],
  'node-name': ['host-1', 'A_b.c', '0123', 'yes'],
  'label-key': ['app', 'example.org/app', '1'],
  'label-value': ['', 'v1', '1e3', '0o7', 'null', '2026-01-01'],
  duration: ['0s', '500ms', '1h30m'],
  ip: ['127.0.0.1', '::1', 'fe80::1'],
  'workload-identity': ['spiffe://mesh.local/ns/a/sa/b'],
  token: ['x-a', 'GET', '~'],
  'field-value': ['', '- a', '#b', '"c"', 'ä: x'],
  'env-name': ['A', '_b1'],
  'server-name': ['a.example', '*.a.example', 'x'],
  'absolute-path': ['/', '/a?b#c', '/%20'],
};

const words = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => !/[\ud800-\udfff]/.test(text)),
  fc.constantFrom(
    'no',
    '~',
    '0x1f',
    '1_000',
    ' lead',
    'a: b',
    '- c',
    '# d',
    '|',
    '>-',
    '&e',
    '*f',
    '!!g',
    '%h',
    '\t',
    '\r\n',
  ),
);

function anyOf(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'object':
      return objectOf(schema);
    case 'array':
      return fc.array(anyOf(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 2 });
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 1, max: schema.maximum ?? 65_535 });
    case 'boolean':
      return fc.boolean();
    default:
      return schema.format === undefined
        ? fc
            .oneof(words, fc.constantFrom('/a', '/b*', 'a', '*'))
            .filter((text) => text.length >= (schema.minLength ?? 0))
        : fc.constantFrom(...samples[schema.format]);
  }
}

function objectOf(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.properties !== undefined) {
    const fields = Object.entries(schema.properties).map(([name, inner]) => [name, anyOf(inner)]);
    // Fields with a default are required in the schema and may still be left out.
    return fc.record(Object.fromEntries(fields), { requiredKeys: [] });
  }
  const values = typeof schema.additionalProperties === 'object' ? anyOf(schema.additionalProperties) : words;
  return fc.dictionary(
    schema.propertyNames ? (anyOf(schema.propertyNames) as fc.Arbitrary<string>) : fc.constant('8080'),
    values,
    {
      maxKeys: 2,
    },
  );
}

function resourceOf(kind: ResourceKind): fc.Arbitrary<unknown> {
  return fc.record({
    apiVersion: fc.constantFrom(...kind.apiVersions),
    kind: fc.constant(kind.name),
    metadata: fc.record(
      {
        name: fc.constantFrom('a', 'true', '1a'),
        namespace: fc.constantFrom('b', 'null'),
        annotations: fc.dictionary(fc.constantFrom(...samples['label-key']), words, { maxKeys: 2 }),
      },
      { requiredKeys: ['name'] },
    ),
    spec: specOf(kind),
  });
}

/** Some fields as in the example, others made up: all made up is seldom accepted. */
function specOf(kind: ResourceKind): fc.Arbitrary<unknown> {
  const { properties = {} } = kind.schema as Schema;
  const example = kind.example as Readonly<Record<string, unknown>>;
  const fields = Object.entries(properties).map(([name, schema]) => [
    name,
    name in example ? fc.oneof(fc.constant(example[name]), anyOf(schema)) : anyOf(schema),
  ]);
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] });
}

function exampleOf(kind: ResourceKind): unknown {
  return { apiVersion: kind.apiVersions[0], kind: kind.name, metadata: { name: 'a' }, spec: kind.example };
}

describe('resources made from their schemas', () => {
  for (const kind of resourceKinds.values()) {
    it(`${kind.name}: what is accepted comes back as it was`, () => {
      const accepted: Resource[] = [];
      fc.assert(
        fc.property(resourceOf(kind), (raw) => {
          const { resource } = checkResource(raw);
          if (resource === undefined) return;
          accepted.push(resource);
          assert.deepEqual(readDocuments(writeDocument(resource)), [resource]);
          assert.deepEqual(readDocuments(JSON.stringify(resource)), [resource]);
          assert.deepEqual(readResource(resource), resource);
        }),
        { numRuns: 100, examples: [[exampleOf(kind)]] },
      );
      assert.ok(accepted.length > 0, 'no made resource was accepted');
      assert.deepEqual(readDocuments(writeDocuments(accepted)), accepted);
    });
  }
});

describe('broken documents', () => {
  const good = Array.from(resourceKinds.values(), (kind) => writeDocument(readResource(exampleOf(kind))));
  const broken = fc
    .tuple(
      fc.constantFrom(...good),
      fc.array(
        fc.tuple(fc.nat(2000), fc.nat(8), fc.oneof(words, fc.constantFrom('{', '}', '[', '\n', ': ', '- '))),
        {
          maxLength: 4,
        },
      ),
    )
    .map(([text, cuts]) =>
      cuts.reduce((left, [at, length, put]) => left.slice(0, at) + put + left.slice(at + length), text),
    );

  it('are told what is wrong, or are good', () => {
    fc.assert(
      fc.property(fc.oneof(broken, words), (text) => {
        try {
          readDocuments(text);
        } catch (thrown) {
          assert.ok(thrown instanceof ParseFailure, String(thrown));
          assert.ok(thrown.problems.every((problem) => problem.message.length > 0));
        }
      }),
      { numRuns: 500 },
    );
  });
});
