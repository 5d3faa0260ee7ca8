/**
 * `npm run build`: what is published, in `dist/`. A bundle per program, declarations, a manifest of its own
 * (no Node binaries, no development parts, nothing to install beside it).
 *
 *   node deploy/build/build.ts [--out dist]
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type BundleName, bundle, bundles, etcdProtoFolder, executable } from './bundle.ts';
import { thirdPartyPage } from './third-party.ts';

const { values } = parseArgs({ options: { out: { type: 'string', default: 'dist' } } });
const out = values.out;
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const { inputs } = await bundle(Object.keys(bundles) as BundleName[], out);
const program = join(out, 'heddle.js');
writeFileSync(program, executable(readFileSync(program, 'utf8')));
chmodSync(program, 0o755);
cpSync(etcdProtoFolder, join(out, 'proto'), { recursive: true });
writeFileSync(join(out, 'THIRD-PARTY.md'), thirdPartyPage(Object.keys(inputs)));
execFileSync(
  join('node_modules', '.bin', 'tsc'),
  ['--project', 'deploy/build/tsconfig.json', '--outDir', join(out, 'types')],
  { stdio: 'inherit' },
);
for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md']) copyFileSync(file, join(out, file));
writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest(), undefined, 2)}\n`);
process.stdout.write(`built ${out}\n`);

function manifest() {
  const { name, version, description, license, type, engines } = JSON.parse(
    readFileSync('package.json', 'utf8'),
  ) as Record<string, unknown>;
  return {
    ...{ name, version, description, license, type, engines },
    bin: { heddle: './heddle.js' },
    exports: {
      '.': { types: './types/mesh/model.d.ts', default: './mesh.js' },
      './package.json': './package.json',
    },
  };
}
