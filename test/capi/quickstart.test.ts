import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run, warningFlags } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

const root = projectRoot();
const timeout = 180_000;

function missing(...programs: readonly string[]): string | false {
  const absent = programs.find((program) => spawnSync(program, ['--version']).status !== 0);
  if (absent === undefined) return withoutTestCompiler();
  const isInLane = process.env['WOMBATKV_TEST_C_FLAVOUR'] !== undefined;
  return `${isInLane ? '' : 'left to another lane: npm run capi; '}there is no ${absent}`;
}

/** The one block of a page in that language in which the word stands. */
function blockOf(page: string, language: string, word: string): string {
  const text = readFileSync(join(root, page), 'utf8');
  const pattern = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm');
  const found = Array.from(text.matchAll(pattern), ([, block]) => block).filter((block) =>
    block.includes(word),
  );
  assert.equal(found.length, 1, `${found.length} blocks of ${language} in ${page} with ${word}`);
  return found[0];
}

/**
 * Goal: whoever types what the pages and the examples say has a program that works.
 * Method: the very lines, read from where they stand, in a folder that looks like a clone. The library is
 * installed there by its own command.
 */
describe('the quickstart of the C library', { skip: missing('cc', 'pkg-config') }, () => {
  let folder: TemporaryDirectory;
  let home: DaemonHome;
  let environment: Readonly<Record<string, string>>;
  const installed = (): string => join(folder.path, 'wombatkv-c');

  /** Runs lines of a shell there, in which nothing may fail. */
  async function shell(lines: string, place: string): Promise<readonly string[]> {
    const script = `set -e\ncd '${place}'\n${lines}`;
    const end = await runProgram('sh', ['-c', script], { environment, timeoutMs: timeout });
    assert.equal(end.status, 0, `${lines}\n${end.lines.join('\n')}\n${end.notes}`);
    return end.lines;
  }

  before(async () => {
    folder = await makeTemporaryDirectory('quickstart');
    home = await startDaemonHome();
    mkdirSync(join(folder.path, 'clone'));
    for (const name of ['capi', 'dist'])
      symlinkSync(join(root, name), join(folder.path, 'clone', name));
    environment = { ...home.embedded, HOME: folder.path };
    const words = ['dist/tools/capi.js', 'build', '--prefix', installed()];
    assert.match(await run(process.execPath, words), /^capi: .*\/lib, .*\/include$/m);
  });
  after(async () => {
    await home.close();
    await folder.remove();
  });

  for (const page of ['README.md', 'docs/C.md']) {
    it(`is what ${page} says`, { timeout }, async () => {
      const lines = blockOf(page, 'sh', 'npm run capi -- build').split('\n');
      // Up to the first run: the rest has a daemon.
      const end = lines.findIndex((line) => line.startsWith('./quickstart'));
      const typed = lines.slice(0, end + 1).join('\n');
      const script = typed.replace('npm run capi --', `'${process.execPath}' dist/tools/capi.js`);
      assert.notEqual(script, typed);
      const said = await shell(script, join(folder.path, 'clone'));
      assert.ok(said.includes('block 2: everywhere'), said.join('\n'));
    });
  }

  for (const [example, line] of [
    ['quickstart.c', 'block 2: everywhere'],
    ['engine.c', 'turn 3: '],
    ['engine.cpp', 'turn 3: '],
  ] as const) {
    const skip = example.endsWith('.cpp') && missing('c++');
    it(`${example} is built by the one line in it`, { skip, timeout }, async () => {
      const text = readFileSync(join(root, 'capi/examples', example), 'utf8');
      const lines = Array.from(text.matchAll(/^ \* {5}(c(?:c|\+\+) .*)$/gm), ([, found]) => found);
      assert.equal(lines.length, 1, lines.join('\n'));
      const place = join(folder.path, example.replace('.', '-'));
      mkdirSync(place);
      copyFileSync(join(root, 'capi/examples', example), join(place, example));
      const program = / -o (\w+)$/.exec(lines[0])?.[1] ?? '';
      const paths = `export PKG_CONFIG_PATH='${installed()}/lib/pkgconfig' LD_LIBRARY_PATH='${installed()}/lib'`;
      const said = await shell(`${paths}\n${lines[0]}\n./${program}`, place);
      assert.ok(
        said.some((one) => one.startsWith(line)),
        said.join('\n'),
      );
    });
  }

  it('the code of docs/C.md is compiled without a warning', { timeout }, async () => {
    const source = join(folder.path, 'calls.c');
    const prototypes = [
      'size_t restore(wmbt_kv_handle_t *, const char *const *, size_t);',
      'int save(wmbt_kv_handle_t *, const char *const *, const uint8_t *const *, const size_t *, size_t);',
    ];
    const code = blockOf('docs/C.md', 'c', 'wmbt_kv_lookup_block_prefix');
    writeFileSync(source, `#include <wombatkv.h>\n${prototypes.join('\n')}\n${code}`);
    const words = ['-std=c99', ...warningFlags, '-Wmissing-prototypes', `-I${installed()}/include`];
    await run('cc', [...words, '-c', source, '-o', join(folder.path, 'calls.o')]);
  });

  it(
    'the project of docs/C.md is built by CMake',
    { skip: missing('cmake'), timeout },
    async () => {
      const place = join(folder.path, 'project');
      mkdirSync(place);
      copyFileSync(join(root, 'capi/examples/quickstart.c'), join(place, 'engine.c'));
      const project = blockOf('docs/C.md', 'cmake', 'find_package(wombatkv');
      writeFileSync(join(place, 'CMakeLists.txt'), project);
      const build = join(place, 'build');
      await run('cmake', ['-S', place, '-B', build, `-DCMAKE_PREFIX_PATH=${installed()}`]);
      await run('cmake', ['--build', build]);
      const { status, notes } = await runProgram(join(build, 'engine'), [], {
        environment: home.unix,
      });
      assert.equal(status, 0, notes);
    },
  );
});
