import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyHeaderChange, compileHeaderChange } from '../../../../mesh/decide/headers.ts';

function changed(
  lines: readonly string[],
  change: { set?: string[]; add?: string[]; remove?: string[] },
): string[] {
  const named = (line: string) => {
    const [name = '', value = ''] = line.split('=');
    return { name, value };
  };
  const fields = lines.map(named);
  const compiled = compileHeaderChange(
    { set: (change.set ?? []).map(named), add: (change.add ?? []).map(named), remove: change.remove ?? [] },
    (name, value) => ({ name, value }),
  );
  applyHeaderChange(fields, compiled);
  return fields.map(({ name, value }) => `${name}=${value}`);
}

describe('applyHeaderChange', () => {
  it('sets in place of every field of that name', () => {
    assert.deepEqual(changed(['a=1', 'b=2', 'a=3'], { set: ['a=9'] }), ['a=9', 'b=2']);
    assert.deepEqual(changed(['b=2'], { set: ['a=9'] }), ['b=2', 'a=9']);
  });
  it('adds beside what is there', () => {
    assert.deepEqual(changed(['a=1'], { add: ['a=2'] }), ['a=1', 'a=2']);
  });
  it('removes every field of that name', () => {
    assert.deepEqual(changed(['a=1', 'b=2', 'a=3'], { remove: ['a', 'x'] }), ['b=2']);
  });
});
