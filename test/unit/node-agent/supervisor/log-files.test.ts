import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createLogFor, rotateIfLarge } from '../../../../node-agent/supervisor/log-files.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

const limits = { maxBytes: 1000, files: 3 };

describe('log rotation', () => {
  it('leaves a small file and a missing one alone', (t) => {
    const path = join(tempFolder(t), 'log');
    assert.equal(rotateIfLarge(path, limits), 0);
    writeFileSync(path, 'x'.repeat(1000));
    assert.equal(rotateIfLarge(path, limits), 0);
    assert.equal(statSync(path).size, 1000);
  });

  it('makes the next line of a writer that knows nothing of it the first one', (t) => {
    const path = join(tempFolder(t), 'log');
    const writer = openSync(path, 'a');
    writeSync(writer, 'y'.repeat(1001));
    assert.equal(rotateIfLarge(path, limits), 1);
    writeSync(writer, 'after\n');
    closeSync(writer);
    assert.equal(readFileSync(path, 'utf8'), 'after\n');
    assert.equal(readFileSync(`${path}.1`, 'utf8'), 'y'.repeat(1000));
  });

  it('keeps so many files and no more', (t) => {
    const path = join(tempFolder(t), 'log');
    for (const letter of 'abcd') {
      appendFileSync(path, letter.repeat(1001));
      rotateIfLarge(path, limits);
    }
    assert.equal(readFileSync(`${path}.1`, 'utf8')[0], 'd');
    assert.equal(readFileSync(`${path}.2`, 'utf8')[0], 'c');
    assert.equal(statSync(`${path}.3`, { throwIfNoEntry: false }), undefined);
  });

  it('keeps the newest of a flood and tells how much was dropped', (t) => {
    const path = join(tempFolder(t), 'log');
    writeFileSync(path, `${'o'.repeat(5000)}${'n'.repeat(1000)}`);
    assert.equal(rotateIfLarge(path, limits), 5000);
    assert.equal(readFileSync(`${path}.1`, 'utf8'), 'n'.repeat(1000));
  });
});

describe('createLogFor', () => {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

  it('makes a private log in a folder that others may pass but not look into, and keeps what is in it', (t) => {
    const folder = tempFolder(t);
    const path = join(folder, 'access.log');
    createLogFor(self, path);
    writeFileSync(path, 'kept\n');
    createLogFor(self, path);
    assert.equal(readFileSync(path, 'utf8'), 'kept\n');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(folder).mode & 0o777, 0o711);
  });

  it('gives away nothing that a link leads to', (t) => {
    const path = join(tempFolder(t), 'access.log');
    symlinkSync('/etc/passwd', path);
    assert.throws(() => createLogFor(self, path), { code: 'ELOOP' });
  });
});
