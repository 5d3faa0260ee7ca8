import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ParseFailure, showProblem } from '../../../../kit/parse.ts';
import { readDocuments } from '../../../../mesh/document/read-documents.ts';

function problemsOf(text: string): string[] {
  try {
    readDocuments(text, { source: 'a.yaml' });
  } catch (thrown) {
    assert.ok(thrown instanceof ParseFailure, String(thrown));
    return thrown.problems.map(showProblem);
  }
  return [];
}

const service = (name: string) => `apiVersion: heddle/v1
kind: Service
metadata: { name: ${name} }
spec:
  selector: { app: ${name} }
  ports:
    - port: 80
`;

describe('readDocuments', () => {
  it('reads many documents and leaves out empty ones', () => {
    const text = `---\n${service('a')}---\n# nothing\n---\n${service('b')}...\n`;
    assert.deepEqual(
      readDocuments(text).map((resource) => resource.metadata.name),
      ['a', 'b'],
    );
    assert.deepEqual(readDocuments(''), []);
  });

  it('tells every problem of every document with its line and column', () => {
    const text = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: orders }
spec:
  parentRefs:
    - kind: Service
      name: orders
  rules:
    - backendRefs:
        - name: orders-v1
          port: 80
          wieght: 9
        - name: orders-v2
          port: 80000
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders }
spec:
  ports:
    - targetPort: 1
`;
    assert.deepEqual(problemsOf(text), [
      "a.yaml:12:11: spec.rules[0].backendRefs[0].wieght: unknown field 'wieght', did you mean 'weight'?",
      'a.yaml:14:17: spec.rules[0].backendRefs[1].port: expected at most 65535, got 80000',
      "a.yaml:21:7: spec.ports[0]: missing field 'port'",
    ]);
  });

  it('reports broken YAML where it is broken, and still reads the others', () => {
    const problems = problemsOf(`a: [1\n---\n${service('bad_name')}`);
    assert.match(problems[0] ?? '', /^a\.yaml:[12]:/);
    assert.match(problems.at(-1) ?? '', /^a\.yaml:5:19: metadata\.name: expected lower-case/);
  });

  it('reads a JSON list of nothing else than one resource', () => {
    assert.match(problemsOf('[1]').join(), /expected a resource/);
  });

  it('refuses fields that JavaScript takes for something else', () => {
    const text = service('a').replace('selector: {', 'selector: { __proto__: x,');
    assert.deepEqual(problemsOf(text), ["a.yaml:5:15: '__proto__' cannot be a field"]);
    assert.match(problemsOf('{"__proto__": {"kind": "Service"}}').join(), /__proto__/);
  });

  it('refuses keys that are no text, and the same key twice', () => {
    assert.match(problemsOf(`? [a]\n: b\n${service('a')}`).join(), /a\.yaml:1:3: .*name of a field/);
    assert.match(problemsOf(`${service('a')}kind: Service\n`).join(), /a\.yaml:8:1: .*unique/i);
  });

  it('refuses aliases that multiply, levels without end and tags of others', () => {
    const bomb = Array.from(
      { length: 30 },
      (_, n) => `a${n}: &a${n} [${n === 0 ? 'x' : `*a${n - 1}, *a${n - 1}`}]`,
    );
    assert.match(problemsOf(bomb.join('\n')).join(), /alias/);
    assert.match(problemsOf(`a: ${'['.repeat(5000)}${']'.repeat(5000)}`).join(), /nested too deeply/);
    assert.match(problemsOf(`a: ${'['.repeat(200)}${']'.repeat(200)}`).join(), /nested too deeply/);
    assert.match(problemsOf('a: !!js/function x').join(), /tag/i);
  });
});
