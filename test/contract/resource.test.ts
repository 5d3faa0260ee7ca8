/** What every kind of resource does, looped over the registry. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ParseFailure } from '../../kit/parse.ts';
import { readDocuments } from '../../mesh/document/read-documents.ts';
import { writeDocument } from '../../mesh/document/write-document.ts';
import { resourceKinds } from '../../mesh/resource/index.ts';
import type { ResourceKind } from '../../mesh/resource/kind.ts';
import { readResource } from '../../mesh/resource/read.ts';

function example(kind: ResourceKind, change: object = {}) {
  return {
    apiVersion: kind.apiVersions[0],
    kind: kind.name,
    metadata: { name: 'one', namespace: 'shop', labels: { app: 'one' } },
    spec: structuredClone(kind.example) as Record<string, unknown>,
    ...change,
  };
}

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (thrown) {
    assert.ok(thrown instanceof ParseFailure, String(thrown));
    return thrown.problems.map((problem) => `${problem.path}: ${problem.message}`);
  }
  return [];
}

for (const kind of resourceKinds.values()) {
  describe(`resource ${kind.name}`, () => {
    it('accepts its example, in each of its versions', () => {
      for (const apiVersion of kind.apiVersions) {
        assert.equal(readResource(example(kind, { apiVersion })).apiVersion, apiVersion);
      }
    });

    it('fills in defaults, and then changes nothing any more', () => {
      const bare = { ...example(kind), metadata: { name: 'one' } };
      const resource = readResource(bare);
      assert.deepEqual(resource.metadata, { name: 'one', namespace: 'default', labels: {}, annotations: {} });
      assert.deepEqual(readResource(resource), resource);
    });

    it('leaves its input alone and hands out what cannot be changed', () => {
      const raw = example(kind);
      const before = structuredClone(raw);
      const resource = readResource(raw);
      assert.deepEqual(raw, before);
      assert.ok(Object.isFrozen(resource.spec) && Object.isFrozen(resource.metadata.labels));
    });

    it('accepts a status and what an API server adds', () => {
      const served = {
        ...example(kind),
        metadata: {
          name: 'one',
          uid: 'x',
          resourceVersion: '7',
          generation: 1,
          creationTimestamp: 'y',
          managedFields: [],
        },
        status: { conditions: [] },
      };
      assert.deepEqual(Object.keys(readResource(served)), ['apiVersion', 'kind', 'metadata', 'spec']);
    });

    it('refuses an unknown field by name, with the nearest known one', () => {
      const raw = example(kind);
      const known = Object.keys(raw.spec)[0] ?? '';
      raw.spec[`${known}x`] = 1;
      assert.deepEqual(
        problemsOf(() => readResource(raw)),
        [`spec.${known}x: unknown field '${known}x', did you mean '${known}'?`],
      );
    });

    it('tells three mistakes in one go', () => {
      const raw = { ...example(kind, { colour: 1 }), metadata: { name: 'Not Good', labels: { app: 1 } } };
      assert.deepEqual(
        problemsOf(() => readResource(raw)).map((line) => line.split(':')[0]),
        ['colour', 'metadata.labels.app', 'metadata.name'],
      );
    });

    it('refuses another version and a missing spec', () => {
      const { spec: _, ...bare } = example(kind, { apiVersion: 'apps/v1' });
      const problems = problemsOf(() => readResource(bare));
      assert.equal(problems.length, 2);
      assert.match(problems[0] ?? '', /^apiVersion: expected .* for a /);
      assert.equal(problems[1], ": missing field 'spec'");
    });

    it('refuses specs that are something else, without any other error', () => {
      for (const spec of [null, 1, 'x', [], [[]], { rules: 1 }, { rules: [null] }, { ports: { a: 1 } }]) {
        problemsOf(() => readResource(example(kind, { spec })));
      }
    });

    it('comes back from YAML and from JSON as it was', () => {
      const resource = readResource(example(kind));
      assert.deepEqual(readDocuments(writeDocument(resource)), [resource]);
      assert.deepEqual(readDocuments(JSON.stringify(resource)), [resource]);
    });
  });
}

describe('a resource of no kind', () => {
  it('is told the kind that may have been meant', () => {
    const raw = { apiVersion: 'heddle/v1', kind: 'Servise', metadata: { name: 'a' }, spec: {} };
    assert.deepEqual(
      problemsOf(() => readResource(raw)),
      ["kind: unknown kind 'Servise', did you mean 'Service'?"],
    );
  });

  it('is refused where it is no object at all', () => {
    for (const raw of [null, 1, 'x', [], undefined])
      assert.equal(problemsOf(() => readResource(raw)).length, 1);
  });
});
