/**
 * Our programs as one JavaScript file each, by esbuild: Node does not strip types inside node_modules, a single
 * file starts faster and takes less memory than hundreds, and a single executable can hold nothing else.
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';

/** Output name → source. `heddle` loads the command line, and that one program, only when they are asked for. */
export const bundles = {
  heddle: 'bin/heddle.mjs',
  'command-line': 'bin/command-line.ts',
  sidecar: 'sidecar/main.ts',
  'node-agent': 'node-agent/main.ts',
  pilot: 'pilot/main.ts',
  mesh: 'mesh/model.ts',
} as const;

export type BundleName = keyof typeof bundles;

/** Runs with the flags the programs want, without a wrapper that would hide their process id. */
const shebang = '#!/usr/bin/env -S node --disable-warning=ExperimentalWarning\n';

/** What CommonJS packages expect to find around them. */
const commonJsScope = `import { createRequire as createRequireHere } from 'node:module';
const require = createRequireHere(import.meta.url);
const __dirname = import.meta.dirname;
const __filename = import.meta.filename;`;

/** Builds `names` into `outFolder` and returns which files went into them. */
export async function bundle(names: readonly BundleName[], outFolder: string): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: names.map((name) => ({ in: bundles[name], out: name })),
    outdir: outFolder,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // A sidecar keeps its text in memory; names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    metafile: true,
    logLevel: 'warning',
    banner: { js: commonJsScope },
    plugins: [programsApart(), lazyPackages(), etcdProtocol()],
  });
  return metafile;
}

/** The text of the executable, whose first line says how it is run. */
export function executable(bundled: string): string {
  return shebang + bundled.replace(/^#!.*\n/, '');
}

/** `bin` reaches what it loads by dynamic imports, which stay such: of that part's own bundle. */
function programsApart(): Plugin {
  const fileOf = new Map<string, BundleName>([
    ['./command-line.ts', 'command-line'],
    ['../sidecar/main.ts', 'sidecar'],
    ['../node-agent/main.ts', 'node-agent'],
    ['../pilot/main.ts', 'pilot'],
  ]);
  return {
    name: 'programs-apart',
    setup({ onResolve }) {
      onResolve({ filter: /\/(?:main|command-line)\.ts$/ }, ({ path, kind }) => {
        const file = kind === 'dynamic-import' ? fileOf.get(path) : undefined;
        return file === undefined ? undefined : { path: `./${file}.js`, external: true };
      });
    },
  };
}

/**
 * Packages that our sources load at first use, by a `require` made on the spot, which esbuild does not see.
 * As a plain `require` they are bundled, and still run only when they are reached.
 */
function lazyPackages(): Plugin {
  const onTheSpot = /createRequire\(import\.meta\.url\)\((?=')/g;
  return {
    name: 'lazy-packages',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        return onTheSpot.test(text)
          ? { contents: text.replaceAll(onTheSpot, 'require('), loader: 'ts' }
          : undefined;
      });
    },
  };
}

/** The etcd client reads its .proto files at run time; they lie beside the bundle in `proto/`. */
export const etcdProtoFolder = join('node_modules', 'etcd3', 'proto');

function etcdProtocol(): Plugin {
  return {
    name: 'etcd-protocol',
    setup({ onLoad }) {
      onLoad({ filter: /etcd3[\\/]lib[\\/]connection-pool\.js$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        // biome-ignore lint/suspicious/noTemplateCurlyInString: text of the package's source
        const beside = text.replace('${__dirname}/../proto/', '${__dirname}/proto/');
        if (beside === text)
          throw new Error(`${basename(path)} no longer reads its .proto files as expected`);
        return { contents: beside, loader: 'js' };
      });
    },
  };
}
