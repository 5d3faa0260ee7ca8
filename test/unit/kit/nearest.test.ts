import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { editDistance, nearest } from '../../../kit/nearest.ts';

describe('nearest', () => {
  it('finds what was misspelt', () => {
    assert.deepEqual(nearest('wieght', ['weight', 'name', 'port']), ['weight']);
    assert.deepEqual(nearest('Port', ['port', 'ports']), ['port', 'ports']);
  });
  it('offers nothing that is far away', () => {
    assert.deepEqual(nearest('colour', ['weight', 'name']), []);
  });
  it('counts a swap of neighbours as one step', () => {
    assert.equal(editDistance('wieght', 'weight'), 1);
    assert.equal(editDistance('', 'abc'), 3);
    assert.equal(editDistance('kitten', 'sitting'), 3);
  });
});
