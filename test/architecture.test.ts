/** Which folder may import which; change it only together with docs/architecture.md. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';

const sidecarBase = ['kit', 'mesh', 'sidecar/observe'];
const allowed: Record<string, readonly string[]> = {
  kit: [],
  mesh: ['kit'],
  proto: ['kit', 'mesh'],
  certs: ['kit', 'mesh', 'proto', 'certs/client'],
  'certs/client': ['kit', 'mesh', 'proto'],
  'sidecar/observe': ['kit', 'mesh'],
  'sidecar/net': sidecarBase,
  'sidecar/codec': [...sidecarBase, 'sidecar/net'],
  'sidecar/cluster': [...sidecarBase, 'sidecar/codec', 'sidecar/net'],
  'sidecar/filter': [...sidecarBase, 'sidecar/codec', 'sidecar/net'],
  'sidecar/runtime': [
    ...sidecarBase,
    'proto',
    'sidecar/filter',
    'sidecar/cluster',
    'sidecar/codec',
    'sidecar/net',
  ],
  'sidecar/proxy': [
    ...sidecarBase,
    'sidecar/runtime',
    'sidecar/filter',
    'sidecar/cluster',
    'sidecar/codec',
    'sidecar/net',
  ],
  'sidecar/admin': [...sidecarBase, 'sidecar/codec', 'sidecar/net'],
  sidecar: [
    ...sidecarBase,
    'proto',
    'sidecar/admin',
    'sidecar/proxy',
    'sidecar/runtime',
    'sidecar/filter',
    'sidecar/cluster',
    'sidecar/codec',
    'sidecar/net',
  ],
  'node-agent': ['kit', 'mesh', 'proto', 'certs/client'],
  pilot: ['kit', 'mesh', 'proto', 'certs', 'certs/client'],
  bin: ['kit', 'sidecar', 'node-agent', 'pilot'],
};

/** What stands outside the table may import anything: examples, test, bench, deploy. */
const tops = ['bin', 'kit', 'mesh', 'proto', 'certs', 'sidecar', 'node-agent', 'pilot'];

/** Static, side-effect and dynamic imports of our own files, in either kind of quotes. */
const relativeImport = /(?:\bfrom|\bimport)\s*\(?\s*(['"])(\.[^'"]+)\1/g;

/**
 * Names that only the places beside them may use: with time, randomness and the environment as parameters,
 * tests neither wait nor flake, and one file per program tells all its settings.
 */
const reserved: readonly { readonly name: string; readonly use: RegExp; readonly home: RegExp }[] = [
  {
    name: 'the clock and timers',
    use: /(?<![.\w])(?:setTimeout|setInterval)\(|\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|['"](?:node:)?timers\b/,
    home: /^kit\/clock\.ts$/,
  },
  { name: 'setImmediate', use: /(?<![.\w])setImmediate\(/, home: /^(?:kit|sidecar\/net)\// },
  { name: 'Math.random', use: /\bMath\.random\b/, home: /^kit\/random\.ts$/ },
  { name: 'process.env', use: /\bprocess\.env\b/, home: /^bin\/|\/main\.ts$/ },
  { name: 'process.exit', use: /\bprocess\.exit\(/, home: /^bin\/|\/main\.ts$/ },
];
const comment = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm;
const generated = /^proto\/gen\//;

function sourcesOf(top: string): string[] {
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, encoding: 'utf8' })
    .map((file) => join(top, file))
    .filter((path) => path.endsWith('.ts'));
}

/** The most specific row of the table that holds `path`. */
function zoneOf(path: string): string | undefined {
  return Object.keys(allowed)
    .filter((zone) => path.startsWith(`${zone}/`))
    .sort((a, b) => b.length - a.length)[0];
}

describe('imports point inward', () => {
  for (const path of tops.flatMap(sourcesOf)) {
    it(path, () => {
      const zone = zoneOf(path);
      assert.ok(zone !== undefined, `${path} is in a folder without a row in the table`);
      for (const [, , target] of readFileSync(path, 'utf8').matchAll(relativeImport)) {
        const to = normalize(join(dirname(path), target ?? ''));
        const toZone = zoneOf(to);
        const fine: boolean =
          toZone === zone || (toZone !== undefined && allowed[zone]?.includes(toZone) === true);
        assert.ok(fine, `${zone} may not import ${to}`);
      }
    });
  }
});

describe('reserved names stay where they belong', () => {
  for (const { name, use, home } of reserved) {
    it(name, () => {
      const strangers = tops
        .flatMap(sourcesOf)
        .filter((path) => !home.test(path) && !generated.test(path))
        .filter((path) => use.test(readFileSync(path, 'utf8').replace(comment, '')));
      assert.deepEqual(strangers, [], `${name} is used outside ${home}`);
    });
  }
});
