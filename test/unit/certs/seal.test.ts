import assert from 'node:assert/strict';
import { chmodSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createSealer, readSecret } from '../../../certs/seal.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const secret = Buffer.from('0123456789abcdef0123456789abcdef');

describe('a sealed text', () => {
  it('opens with its secret, salt and context, and with nothing else', () => {
    const sealer = createSealer(secret);
    const sealed = sealer.seal('a private key', 'root 1');
    assert.ok(!Buffer.from(sealed, 'base64').toString('latin1').includes('private'));
    assert.equal(createSealer(secret, sealer.salt).open(sealed, 'root 1'), 'a private key');
    assert.notEqual(sealer.seal('a private key', 'root 1'), sealed);
    const refused = { code: 'invalid', message: /does not open/ };
    assert.throws(() => sealer.open(sealed, 'root 2'), refused);
    assert.throws(() => createSealer(secret).open(sealed, 'root 1'), refused);
    assert.throws(() => createSealer(Buffer.alloc(32), sealer.salt).open(sealed, 'root 1'), refused);
    const [iv, tag, body] = sealed.split('.');
    assert.throws(() => sealer.open([iv, tag?.slice(0, 8), body].join('.'), 'root 1'), refused);
    assert.throws(() => sealer.open([iv, tag, `A${body?.slice(1)}`].join('.'), 'root 2'), refused);
    for (const text of ['', '..', 'a.b.c']) assert.throws(() => sealer.open(text, 'root 1'), refused);
  });
});

describe('readSecret', () => {
  it('makes one of mode 0600 where asked, and finds it again', (t) => {
    const path = join(tempFolder(t), 'ca-secret');
    const made = readSecret(path, { whenMissing: 'create', source: 'file' });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.ok(made.length >= 32);
    assert.deepEqual(readSecret(path, { whenMissing: 'fail', source: 'file' }), made);
  });

  it('refuses a missing, readable, short or linked file, and says what to do', (t) => {
    const folder = tempFolder(t);
    const path = join(folder, 'secret');
    const options = { whenMissing: 'fail', source: 'file' } as const;
    assert.throws(() => readSecret(path, options), { code: 'not_found', message: /put back the one/ });
    writeFileSync(path, 'short', { mode: 0o600 });
    assert.throws(() => readSecret(path, options), { code: 'invalid', message: /it has 5 bytes/ });
    writeFileSync(path, secret);
    chmodSync(path, 0o640);
    assert.throws(() => readSecret(path, options), { code: 'invalid', message: /chmod 600/ });
    assert.equal(readSecret(path, { ...options, source: 'credential' }).length, secret.length);
    symlinkSync(path, join(folder, 'link'));
    assert.throws(() => readSecret(join(folder, 'link'), options), { code: 'invalid' });
    assert.throws(() => readSecret(folder, options), { code: 'invalid' });
  });
});
