import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileServerNames } from '../../../../mesh/decide/server-names.ts';
import type { RouteMatch } from '../../../../mesh/model.ts';

function rule(serverName: string | undefined, id = serverName) {
  const match: RouteMatch = { path: undefined, method: undefined, headers: [], query: [], serverName };
  return { match, id };
}

describe('the choice by server name', () => {
  const names = ['*.example.com', 'a.example.com', '*.b.example.com', undefined];
  const table = compileServerNames(names.map((name) => rule(name)));

  it('takes the exact name before any wildcard, and the longer wildcard before the shorter', () => {
    assert.equal(table.match('a.example.com')?.id, 'a.example.com');
    assert.equal(table.match('x.a.example.com')?.id, '*.example.com');
    assert.equal(table.match('x.b.example.com')?.id, '*.b.example.com');
    assert.equal(table.match('b.example.com')?.id, '*.example.com');
  });

  it('lets a wildcard stand for a label or more, never for none or a part of one', () => {
    assert.equal(table.match('example.com'), table.match(undefined));
    assert.equal(table.match('badexample.com'), table.match(undefined));
    assert.equal(table.match('x.y.z.example.com')?.id, '*.example.com');
  });

  it('gives what has no name, or an unknown one, to the rule that names none', () => {
    assert.equal(table.match(undefined)?.match.serverName, undefined);
    assert.notEqual(table.match('elsewhere.org'), undefined);
    assert.equal(compileServerNames([rule('a.b')]).match('c.d'), undefined);
    assert.equal(compileServerNames([rule('a.b')]).match(undefined), undefined);
  });

  it('takes the first of equal names', () => {
    assert.equal(compileServerNames([rule('a.b', 'one'), rule('a.b', 'two')]).match('a.b')?.id, 'one');
    assert.equal(compileServerNames([rule('*.b', 'one'), rule('*.b', 'two')]).match('a.b')?.id, 'one');
  });
});
