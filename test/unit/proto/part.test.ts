import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ParseFailure, type Problem } from '../../../kit/parse.ts';
import type { AuthorizationPolicy } from '../../../mesh/model.ts';
import * as wire from '../../../proto/gen/heddle/v1/model_pb.ts';
import { contentHash, decodePart, encodePart } from '../../../proto/part.ts';

const policy: AuthorizationPolicy = {
  name: 'shop/guard',
  action: 'deny',
  rules: [
    {
      principals: ['*'],
      namespaces: [],
      methods: ['POST'],
      paths: [{ kind: 'prefix', value: '/admin' }],
      ports: [8080],
    },
  ],
};

/** Field 99, a string: what a newer pilot may add. */
const unknownField = Uint8Array.of(0x9a, 0x06, 0x01, 0x78);

function problemsOf(kind: 'policy' | 'service', content: Uint8Array): readonly Problem[] {
  try {
    decodePart({ kind, name: 'shop/guard', hash: contentHash(content), content });
  } catch (error) {
    assert.ok(error instanceof ParseFailure);
    return error.problems;
  }
  assert.fail('accepted');
}

describe('decodePart', () => {
  it('reads what encodePart wrote, and the same value always has the same hash', () => {
    const part = encodePart({ kind: 'policy', value: policy });
    assert.deepEqual(decodePart(part), { kind: 'policy', value: policy });
    assert.equal(encodePart({ kind: 'policy', value: structuredClone(policy) }).hash, part.hash);
  });

  it('refuses an unknown field at any depth, by path', () => {
    const message = create(wire.AuthorizationPolicySchema, {
      name: 'shop/guard',
      action: wire.AuthorizationAction.ALLOW,
      rules: [{ paths: [{ kind: wire.AuthorizationPathKind.EXACT, value: '/' }] }],
    });
    const [path] = message.rules[0]?.paths ?? [];
    assert.ok(path);
    path.$unknown = [{ no: 99, wireType: 2, data: Uint8Array.of(1, 0x78) }];
    assert.deepEqual(problemsOf('policy', toBinary(wire.AuthorizationPolicySchema, message)), [
      {
        path: 'policy[shop/guard].rules[0].paths[0]',
        message: 'unknown field number 99: this version does not know it',
      },
    ]);
    const top = Buffer.concat([encodePart({ kind: 'policy', value: policy }).content, unknownField]);
    assert.equal(problemsOf('policy', top).length, 1);
  });

  it('refuses an unknown value, a filter it does not know and a missing match, all at once', () => {
    const content = toBinary(
      wire.ServiceRoutesSchema,
      create(wire.ServiceRoutesSchema, {
        service: { namespace: 'shop', name: 'guard' },
        ports: [{ port: 80, protocol: 77 as wire.AppProtocol, rules: [{ filters: [{}] }] }],
      }),
    );
    assert.deepEqual(
      problemsOf('service', content).map((problem) => `${problem.path}: ${problem.message}`),
      [
        'service[shop/guard].ports[0].protocol: unknown value 77',
        'service[shop/guard].ports[0].rules[0].match: missing',
        'service[shop/guard].ports[0].rules[0].filters[0]: no filter that this version knows',
      ],
    );
  });

  it('refuses content under another name', () => {
    const part = encodePart({ kind: 'policy', value: { ...policy, name: 'shop/other' } });
    assert.throws(() => decodePart({ ...part, name: 'shop/guard' }), /holds 'shop\/other'/);
  });
});
