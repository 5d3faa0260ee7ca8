/** The committed code under `proto/gen` is what buf makes of the .proto files now, and those pass buf's lint. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';

const proto = resolve(import.meta.dirname, '../../../proto');
const bin = resolve(proto, '../node_modules/.bin');

const { PATH: path = '' } = process.env;

function buf(...args: string[]): void {
  execFileSync(join(bin, 'buf'), args, {
    cwd: proto,
    env: { ...process.env, PATH: `${bin}:${path}` },
    stdio: 'pipe',
  });
}

describe('proto/gen', () => {
  it('is current', () => {
    const fresh = mkdtempSync(join(tmpdir(), 'heddle-gen-'));
    try {
      buf('generate', '-o', fresh);
      const files = readdirSync(join(fresh, 'gen'), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .sort();
      const committed = readdirSync(join(proto, 'gen'), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .sort();
      assert.deepEqual(committed, files);
      assert.ok(files.length > 0);
      for (const file of files) {
        assert.equal(
          readFileSync(join(proto, 'gen', file), 'utf8'),
          readFileSync(join(fresh, 'gen', file), 'utf8'),
          `${file} is stale: run \`npm run generate\``,
        );
      }
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  });

  it('comes from files that pass the lint', () => {
    buf('lint');
  });
});
