import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemFlags } from '../../src/platform/library-build.ts';
import { cachedLibrary } from '../../tools/capi-build.ts';
import type { BuiltLibrary } from '../../tools/capi-build.ts';
import { compile, run, sourcesIn, warningFlags } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { buildRustWombatKv } from '../../tools/rust-wombatkv.ts';
import type { RustWombatKv } from '../../tools/rust-wombatkv.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { reportTests, runProgram, sharedFlags } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

/**
 * Goal: a program that was written for the Rust WombatKV runs with this library as it is.
 * Method: programs are compiled against the header inside the crate of the Rust version, where cargo
 * has it, and linked to this library; one is linked to the Rust library, and runs with this one in its
 * place. They are those of the other tests: the table-driven one, in every mode, and the engine that
 * knows the contract alone.
 */
const root = projectRoot();
const compiler = 'cc';
/** Groups of capi/test/library that know ABI 1.0 alone, in files of the same names. */
const groups = ['arguments', 'blocks', 'tails', 'threads'] as const;
const ways = ['unix', 'tcp', 'http', 'embedded'] as const;
/** The crate's header says nothing of versions. */
const versionFlag = '-DWMBT_KV_ABI_VERSION=0x00010001u';
const engineLines = [
  ...['before: 0', 'saved 200000, tail 0 ', 'saved 200000, tail 0 '],
  'restored 4 blocks, 200000 bytes, a tail of 1234',
];

/** The functions of ABI 1.0. */
const oldFunctions = new Set(
  Array.from(
    readFileSync(join(root, 'capi/test/programs/contract.h'), 'utf8').matchAll(
      /\b(wmbt_kv_\w+)\(/g,
    ),
    ([, name]) => name,
  ),
);

describe('a program for the Rust WombatKV', () => {
  let rust: RustWombatKv;
  let library: BuiltLibrary;
  let folder: TemporaryDirectory;
  before(async () => {
    rust = buildRustWombatKv();
    library = await cachedLibrary({ compiler, flavour: 'plain' });
    folder = await makeTemporaryDirectory('rust-programs');
  });
  after(() => folder.remove());

  it('may call the fifteen functions, which are all that its library exports', async () => {
    const text = await run('nm', [
      '-D',
      '--defined-only',
      join(rust.libraryDirectory, 'libwombatkv.so'),
    ]);
    const exported = Array.from(text.matchAll(/ T (wmbt_\w+)$/gm), ([, name]) => name);
    assert.equal(exported.length, 15);
    assert.deepEqual(new Set(exported), oldFunctions);
    const map = readFileSync(join(root, 'capi/wombatkv.map'), 'utf8');
    for (const name of exported) assert.ok(map.includes(`    ${name};\n`), name);
  });

  it('that was linked to its library runs with this one in its place', async () => {
    const place = join(folder.path, 'engine');
    mkdirSync(place);
    copyFileSync(join(root, 'capi/test/programs/engine.c'), join(place, 'engine.c'));
    copyFileSync(rust.header, join(place, 'contract.h'));
    const program = join(place, 'engine');
    const flags = [...systemFlags, '-pthread', `-L${rust.libraryDirectory}`, '-lwombatkv'];
    await run(compiler, ['-std=c11', join(place, 'engine.c'), ...flags, '-o', program]);
    assert.match(await run('readelf', ['-d', program]), /NEEDED.*\[libwombatkv\.so\]/);
    // With its own library it is another program: that one opens no store without a bucket.
    const theirs = { HOME: place, LD_LIBRARY_PATH: rust.libraryDirectory };
    const before = await runProgram(program, [], { environment: theirs });
    assert.match(before.lines.join('\n'), /^cannot open: .*WMBT_KV_/, before.notes);
    const installed = join(place, 'installed');
    mkdirSync(installed);
    symlinkSync(library.shared, join(installed, 'libwombatkv.so'));
    for (const way of ways) {
      const home = await startDaemonHome();
      try {
        const environment = { ...home[way], LD_LIBRARY_PATH: installed };
        const { lines, status, notes } = await runProgram(program, [], { environment });
        assert.deepEqual(lines.slice(0, -1), engineLines, `${way}: ${notes}`);
        assert.match(lines.at(-1) ?? '', /^version 00010001, crc \w{8}, http refused$/);
        assert.equal(status, 0, notes);
      } finally {
        await home.close();
      }
    }
  });

  describe('compiled against its header and linked to this library', () => {
    let program: string;
    before(async () => {
      program = await buildWithTheirHeader(library, rust.header, folder.path);
    });

    for (const way of ways) {
      describe(`over ${way}`, () => {
        let home: DaemonHome;
        before(async () => {
          home = await startDaemonHome();
        });
        after(() => home.close());
        for (const group of groups) {
          it(`passes the tests of ${group}`, async (context) => {
            const environment = home[way];
            await reportTests(context, await runProgram(program, [group], { environment }));
          });
        }
      });
    }
  });
});

/**
 * The test program of capi/test/library. Files that know functions of ABI 1.1 are compiled against our header, as
 * always: their groups are not run, but belong to the program.
 */
async function buildWithTheirHeader(
  library: BuiltLibrary,
  header: string,
  folder: string,
): Promise<string> {
  const place = join(folder, 'test/library');
  mkdirSync(place, { recursive: true });
  mkdirSync(join(folder, 'include'));
  copyFileSync(header, join(folder, 'include/wombatkv.h'));
  const original = join(root, 'capi/test/library');
  for (const name of readdirSync(original)) copyFileSync(join(original, name), join(place, name));
  const sources = sourcesIn('test/library', [...warningFlags, ...systemFlags]);
  const isOld = ({ file }: { readonly file: string }): boolean => knowsOldAlone(join(root, file));
  const old = sources.filter(isOld).map(({ file }) => join(place, basename(file)));
  const needed = ['check', ...groups.map((group) => `test-${group}`)];
  for (const name of needed) assert.ok(old.includes(join(place, `${name}.c`)), name);
  const rest = await compile(
    library.toolchain,
    sources.filter((source) => !isOld(source)),
  );
  const program = join(folder, 'abi-test');
  const flags = [
    '-std=c11',
    '-Wall',
    '-Wextra',
    '-Werror',
    ...systemFlags,
    '-pthread',
    versionFlag,
  ];
  await run(compiler, [...flags, ...old, ...rest, ...sharedFlags(library), '-o', program]);
  return program;
}

/** Whether a file of the tests calls functions of ABI 1.0 alone. */
function knowsOldAlone(path: string): boolean {
  const text = readFileSync(path, 'utf8');
  if (text.includes('"extended.h"')) return false;
  const called = Array.from(text.matchAll(/\b(wmbt_kv_\w+)\(/g), ([, name]) => name);
  return called.every((name) => oldFunctions.has(name));
}
