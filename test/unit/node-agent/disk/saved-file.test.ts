import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLog } from '../../../../kit/log.ts';
import { readSaved, writeSaved } from '../../../../node-agent/disk/saved-file.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

const text = (bytes: Buffer | undefined) => bytes?.toString('utf8');

describe('saved file', () => {
  it('gives back what was written last, and is private', (t) => {
    const path = join(tempFolder(t), 'value');
    assert.equal(readSaved(path, silentLog), undefined);
    writeSaved(path, Buffer.from('one'));
    writeSaved(path, Buffer.from('two'));
    assert.equal(text(readSaved(path, silentLog)), 'two');
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  for (const [how, damage] of [
    ['cut short', (path: string) => truncateSync(path, 70)],
    ['emptied', (path: string) => truncateSync(path, 0)],
    ['changed', (path: string) => writeFileSync(path, readFileSync(path, 'utf8').replace('two', 'twO'))],
    ['gone', (path: string) => rmSync(path)],
  ] as const) {
    it(`falls back to the generation before where the last one is ${how}`, (t) => {
      const path = join(tempFolder(t), 'value');
      writeSaved(path, Buffer.from('one'));
      writeSaved(path, Buffer.from('two'));
      damage(path);
      assert.equal(text(readSaved(path, silentLog)), 'one');
      // The damaged generation must not replace the good one before it.
      writeSaved(path, Buffer.from('three'));
      assert.equal(text(readSaved(path, silentLog)), 'three');
      truncateSync(path, 3);
      assert.equal(text(readSaved(path, silentLog)), 'one');
    });
  }

  it('keeps what was there where the new value cannot be written', (t) => {
    const folder = tempFolder(t);
    const path = join(folder, 'value');
    writeSaved(path, Buffer.from('one'));
    assert.throws(() => writeSaved(join(folder, 'no', 'value'), Buffer.from('x')));
    assert.equal(text(readSaved(path, silentLog)), 'one');
  });
});
