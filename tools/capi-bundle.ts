import { build as bundle } from 'esbuild';
import type { BuildOptions, Metafile, Plugin } from 'esbuild';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { packedZstd, zstdPackage } from '../src/platform/store-program.ts';
import type { StoreProgram } from '../src/platform/store-program.ts';
import { projectRoot } from './project.ts';

/**
 * The program that the C library starts: the store in one file, because Node takes half a second to find and read its
 * two hundred (docs/decisions/0081), and beside it what it loads when it needs it: worker threads, and HTTP, which is
 * used with a bucket. Native code is laid out with it.
 */
export async function bundledStore(): Promise<StoreProgram> {
  const workers = new Set<string>();
  const [store, http] = await Promise.all([bundleStore(workers), bundleHttp()]);
  const threads = await bundleWorkers([...workers].sort());
  const bundles = [store, http, threads];
  const files = bundles.flatMap(({ outputFiles }) =>
    outputFiles.map(({ path, text }) => [relative(outputFolder(), path), text] as const),
  );
  return new Map([
    ...files,
    ...zstdTexts(),
    ['package.json', packageText()],
    ['THIRD-PARTY.txt', licencesOf(bundles.map(({ metafile }) => metafile))],
  ]);
}

interface Bundle {
  readonly outputFiles: readonly { readonly path: string; readonly text: string }[];
  readonly metafile: Metafile;
}

const common = {
  ...{ bundle: true, minify: true, write: false, metafile: true, logLevel: 'silent' },
  ...{ platform: 'node', target: 'node20' },
  // Read as bytes, it is what it is as text.
  charset: 'ascii',
} as const satisfies BuildOptions;

/** Paths of the results are relative to it; nothing is written there. */
function outputFolder(): string {
  return join(projectRoot(), 'build/store-program');
}

/** A package of others, in a file of its own: it is large, and loaded only when it is used. */
const http = { package: 'undici', file: 'undici.cjs' };

function bundleStore(workers: Set<string>): Promise<Bundle> {
  const contents = `
    import { runPrivateStore } from './private-command.js';
    runPrivateStore(process.argv[2]).then((code) => { process.exitCode = code; });`;
  return bundle({
    ...common,
    stdin: { contents, resolveDir: join(projectRoot(), 'dist/src/cli') },
    outfile: join(outputFolder(), 'store.js'),
    format: 'cjs',
    banner: { js: `(function (require, ${home}) {` },
    footer: { js: '})' },
    plugins: [inPlace(workers), withoutUnused],
  });
}

function bundleHttp(): Promise<Bundle> {
  return bundle({
    ...common,
    stdin: { contents: `module.exports = require('${http.package}');`, resolveDir: projectRoot() },
    outfile: join(outputFolder(), http.file),
    format: 'cjs',
  });
}

/** Each lies where it lies in the package, and is a module as there. */
function bundleWorkers(files: readonly string[]): Promise<Bundle> {
  return bundle({
    ...common,
    entryPoints: files.map((file) => join(projectRoot(), file)),
    outbase: projectRoot(),
    outdir: outputFolder(),
    format: 'esm',
    plugins: [inThreads, withoutUnused],
  });
}

/** The URL of the folder that the program lies in; the program is a function of it. */
const home = 'storeHome';

/** Where a thread's program is named, but for examples in comments. */
const workerPattern = /^(?!\s*\*).*new URL\('([\w./-]+\.js)', import\.meta\.url\)/gm;

/** What looks for files beside a source finds them at the same place in the folder of the program. */
function inPlace(workers: Set<string>): Plugin {
  return {
    name: 'in-place',
    setup(build) {
      const beside = `./${http.file}`;
      build.onResolve({ filter: /^\.\/undici\.cjs$/ }, () => ({ path: beside, external: true }));
      build.onLoad({ filter: /\/dist\/src\/.*\.js$/ }, ({ path }) => {
        const file = relative(projectRoot(), path);
        const text = readFileSync(path, 'utf8');
        for (const [, worker] of text.matchAll(workerPattern)) {
          workers.add(join(dirname(file), worker));
        }
        const contents = withPackedZstd(text)
          .replaceAll('import.meta.url', `(${home} + ${JSON.stringify(file)})`)
          // A module of the other kind has its names in `default`, all of them.
          .replaceAll(
            `import('${http.package}')`,
            `import('${beside}').then((all) => all.default)`,
          );
        return { contents };
      });
    },
  };
}

/** What a thread's program is made of. */
const inThreads: Plugin = {
  name: 'in-threads',
  setup(build) {
    build.onLoad({ filter: /\/dist\/src\/.*\.js$/ }, ({ path }) => ({
      contents: withPackedZstd(readFileSync(path, 'utf8')),
    }));
  },
};

/** The package lies in the folder of the program, three above each source. */
function withPackedZstd(source: string): string {
  return source.replaceAll(
    `require('${zstdPackage}')`,
    `require('../../../${packedZstd}/index.js')`,
  );
}

/** The package's own program, which loads a binary beside it. */
function zstdTexts(): readonly (readonly [string, string])[] {
  const folder = join(projectRoot(), 'node_modules', zstdPackage);
  return ['index.js', 'package.json'].map(
    (file) => [`${packedZstd}/${file}`, readFileSync(join(folder, file), 'utf8')] as const,
  );
}

/** No module does anything when it is loaded, so what nothing uses is left out, built-in ones included. */
const withoutUnused: Plugin = {
  name: 'without-unused',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path }) => ({
      path,
      external: true,
      sideEffects: false,
    }));
    build.onResolve({ filter: /^\.\.?\// }, ({ path, importer, resolveDir }) => {
      const isOurs = !importer.includes('node_modules');
      return isOurs ? { path: join(resolveDir, path), sideEffects: false } : undefined;
    });
  },
};

/** Its version is what the store says of itself. */
function packageText(): string {
  const text = readFileSync(join(projectRoot(), 'package.json'), 'utf8');
  const { version, license } = JSON.parse(text) as Record<string, string>;
  const fields = { name: 'wombatkv-store', private: true, version, license, type: 'module' };
  return `${JSON.stringify(fields)}\n`;
}

/** What others ask for who let their work be used: their names and terms go with it. */
function licencesOf(metafiles: readonly Metafile[]): string {
  const inputs = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  const names = inputs.flatMap((path) => {
    const [, name] = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
    return name === undefined ? [] : [name];
  });
  const parts = [...new Set([...names, zstdPackage])].sort().map(licenceOf);
  return ['The store program has work of others in it:\n', ...parts].join('\n');
}

function licenceOf(name: string): string {
  const folder = join(projectRoot(), 'node_modules', name);
  const { version, license, author } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as Record<string, unknown>;
  const by = typeof author === 'string' ? `, by ${author}` : '';
  const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.\w+)?$/i.test(entry));
  const terms = file === undefined ? '' : `\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  return `== ${name} ${String(version)} (${String(license)}${by})\n${terms}`;
}
