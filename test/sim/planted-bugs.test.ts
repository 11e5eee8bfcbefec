import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import ts from 'typescript';
import { projectRoot } from '../../tools/project.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { plantedBugs } from './planted-bugs.ts';
import type { PlantedBug, TextChange } from './planted-bugs.ts';
import { sharingSeedCount, sharingSeeds, usualSeedCount } from './profile.ts';
import type { SeedsReport } from './sim-child.ts';

const root = projectRoot();
const scratch = await makeTemporaryDirectory('planted');
after(() => scratch.remove());

/** How many seeds there are until a theme comes again. */
const themeCount = 10;

/** A compiled copy of the store and of the simulation, with the bug in it. */
function plant(bug: PlantedBug, directory: string): void {
  for (const part of ['src', 'test/sim', 'test/support']) {
    cpSync(join(root, 'dist', part), join(directory, part), {
      recursive: true,
      filter: (path) => !/\.(d\.ts|map|test\.js)$/.test(path),
    });
  }
  cpSync(join(root, 'package.json'), join(directory, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  for (const file of new Set(bug.changes.map((change) => change.file))) {
    const changes = bug.changes.filter((change) => change.file === file);
    const text = changes.reduce(changed, readFileSync(join(root, file), 'utf8'));
    const { outputText } = ts.transpileModule(text, {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        verbatimModuleSyntax: true,
        rewriteRelativeImportExtensions: true,
      },
    });
    writeFileSync(join(directory, file.replace(/\.ts$/, '.js')), outputText);
  }
}

function changed(text: string, { file, from, to }: TextChange): string {
  assert.equal(text.split(from).length, 2, `${file} holds exactly once: ${from}`);
  return text.replace(from, () => to);
}

/** Runs the seeds in the copy; what failed, or undefined when everything held. */
async function runSeeds(directory: string, seeds: readonly number[]): Promise<string | undefined> {
  const script = join(directory, 'test/sim/sim-child.js');
  const child = fork(script, [JSON.stringify(seeds), 'first'], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => (errors += part));
  const exited = once(child, 'close').then(([status]) => {
    const [error = 'it did not say why'] = /^\w*Error\b.*$/m.exec(errors) ?? [];
    // A copy that cannot even be loaded proves nothing.
    assert.doesNotMatch(error, /^(SyntaxError|ReferenceError)|ERR_MODULE_NOT_FOUND/);
    return `its process ended with ${status}: ${error}`;
  });
  const told = once(child, 'message').then(([report]) => report as SeedsReport);
  const outcome = await Promise.race([told, exited]);
  if (typeof outcome === 'string') return outcome;
  const [first] = outcome.failures;
  return first && `seed ${first.seed}: ${first.failure.split('\n')[0]}`;
}

/** The seed that is known to find it first, then the others of a usual run, its theme before. */
async function find(directory: string, seed: number): Promise<string | undefined> {
  const isSharing = seed >= sharingSeeds;
  const [start, count] = isSharing ? [sharingSeeds, sharingSeedCount] : [0, usualSeedCount];
  assert.ok(seed < start + count, `seed ${seed} is one of a usual run`);
  let found = await runSeeds(directory, [seed]);
  const theme = Array.from({ length: count / themeCount }, (_, index) => {
    return start + (seed % themeCount) + index * themeCount;
  });
  const all = Array.from({ length: count }, (_, index) => start + index);
  for (const seeds of [theme, all]) found ??= await runSeeds(directory, seeds);
  return found;
}

describe('planted bugs', { concurrency: 2 }, () => {
  // Goal: the simulation can fail, and for the right reasons. Method: each bug is put into a copy of
  // the sources by exchanging a piece of text, and the seeds of a usual run are tried on it.
  for (const [index, bug] of plantedBugs.entries()) {
    it(`finds: ${bug.name}`, async (t) => {
      const directory = join(scratch.path, String(index));
      plant(bug, directory);
      const found = await find(directory, bug.seed);
      assert.ok(found !== undefined, 'no seed of a usual run finds it');
      t.diagnostic(`${bug.name}: ${found}`);
    });
  }
});
