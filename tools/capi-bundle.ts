import { build as bundle } from 'esbuild';
import type { Plugin } from 'esbuild';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from './project.ts';

/**
 * The text of the program that the C library starts, a function of `require`: the store in one file, because Node
 * takes half a second to find and read its two hundred (docs/decisions/0081). It belongs to this clone: native code,
 * worker threads, and HTTP, which is loaded when a bucket is used, stay where they are.
 */
export async function bundledStore(): Promise<string> {
  const folder = join(projectRoot(), 'dist/src/cli');
  const program = `
    import { runPrivateStore } from './private-command.js';
    runPrivateStore(process.argv[2]).then((code) => { process.exitCode = code; });`;
  const { outputFiles } = await bundle({
    stdin: { contents: program, resolveDir: folder },
    ...{ bundle: true, minify: true, write: false, logLevel: 'silent' },
    ...{ platform: 'node', format: 'cjs', target: 'node20' },
    // Read as bytes, it is what it is as text.
    charset: 'ascii',
    banner: { js: '(function (require) {' },
    footer: { js: '})' },
    plugins: [inPlace(folder)],
  });
  const text = outputFiles[0]?.text;
  if (text === undefined) throw new Error('the store program was not bundled');
  return text;
}

/** Loaded where it lies, and only when it is used. */
const leftOut = 'undici';

/** What looks for files beside a source finds those beside the source as it lies in the clone. */
function inPlace(folder: string): Plugin {
  return {
    name: 'in-place',
    setup(build) {
      build.onLoad({ filter: /\/dist\/src\/.*\.js$/ }, ({ path }) => {
        const url = JSON.stringify(pathToFileURL(path).href);
        return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url) };
      });
      // No module does anything when it is loaded, so what nothing uses is left out, built-in ones included.
      build.onResolve({ filter: /^node:/ }, ({ path }) => {
        return { path, external: true, sideEffects: false };
      });
      build.onResolve({ filter: /^\.\.?\// }, ({ path, importer, resolveDir }) => {
        const isOurs = !importer.includes('node_modules');
        return isOurs ? { path: join(resolveDir, path), sideEffects: false } : undefined;
      });
      build.onResolve({ filter: new RegExp(`^${leftOut}$`) }, ({ path }) => ({
        path: createRequire(join(folder, 'any.js')).resolve(path),
        external: true,
      }));
    },
  };
}
