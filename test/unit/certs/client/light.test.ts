import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';

/** Imports that remain when types are erased, static and dynamic. */
const runtimeImport =
  /(?:^|\n)\s*(?:import|export)\s+(?!type\b)(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/g;

/** Every package that loading `file` would load. */
function packagesOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const targets = [...readFileSync(file, 'utf8').matchAll(runtimeImport)].map(
    (match) => match[1] ?? match[2] ?? '',
  );
  return targets.flatMap((target) => {
    if (!target.startsWith('.')) return target.startsWith('node:') ? [] : [`${file} → ${target}`];
    return packagesOf(normalize(join(dirname(file), target)), seen);
  });
}

describe('what agent and sidecar take from here', () => {
  const client = readdirSync('certs/client').map((file) => join('certs/client', file));
  const tls = readdirSync('sidecar/net').filter((file) => file.startsWith('tls'));
  for (const file of [...client, ...tls.map((name) => join('sidecar/net', name))]) {
    it(`${file} loads no package`, () => {
      assert.deepEqual(packagesOf(file), []);
    });
  }

  it('would be noticed', () => {
    assert.notDeepEqual(packagesOf('certs/authority.ts'), []);
  });
});
