import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { crc32c } from '../../src/base/crc32c.ts';
import { systemFlags } from '../../src/platform/library-build.ts';
import { cachedLibrary, librarySources } from '../../tools/capi-build.ts';
import type { BuiltLibrary } from '../../tools/capi-build.ts';
import { compile, run, warningFlags } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runProgram, testToolchain, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';
import { listedSymbols, symbolsIn } from './listed-symbols.ts';

const skip = withoutTestCompiler();
const root = projectRoot();
const { compiler } = testToolchain();

/** The lane of the C library installs these programs, so there they must be (tools/capi.ts). */
function missing(program: string): string | false {
  if (spawnSync(program, ['--version']).status === 0) return false;
  const isInLane = process.env['WOMBATKV_TEST_C_FLAVOUR'] !== undefined;
  return `${isInLane ? '' : 'left to another lane: npm run capi; '}there is no ${program}`;
}

describe('libwombatkv', { skip }, () => {
  let library: BuiltLibrary;
  let folder: TemporaryDirectory;
  before(async () => {
    library = await cachedLibrary({ compiler, flavour: 'plain' });
    folder = await makeTemporaryDirectory('libwombatkv');
  });
  after(() => folder.remove());

  it('exports the functions of the header, and nothing else', async () => {
    const header = readFileSync(join(root, 'capi/include/wombatkv.h'), 'utf8');
    const declared = Array.from(
      header.matchAll(/^WMBT_KV_API [^(]*?(\w+)\(/gm),
      ([, name]) => name,
    );
    assert.deepEqual(declared.sort(), listedSymbols());
    assert.equal(declared.length, 33);
    // Those of ABI 1.0, in a header that was written from its description.
    const contract = readFileSync(join(root, 'capi/test/programs/contract.h'), 'utf8');
    const old = Array.from(contract.matchAll(/^\w[^(]*?(wmbt_kv_\w+)\(/gm), ([, name]) => name);
    assert.equal(old.length, 15);
    assert.deepEqual(
      old.filter((name) => !declared.includes(name)),
      [],
    );
    const shared = await run('nm', ['-D', '--defined-only', '--format=posix', library.shared]);
    assert.deepEqual(symbolsIn(shared), listedSymbols());
    const archive = await run('nm', ['-g', '--defined-only', '--format=posix', library.archive]);
    assert.deepEqual(symbolsIn(archive), listedSymbols());
  });

  it('has a soname, and is there by its plain name too', async () => {
    const dynamic = await run('readelf', ['-d', library.shared]);
    assert.match(dynamic, /SONAME.*\[libwombatkv\.so\.1\]/);
    assert.ok(existsSync(join(library.prefix, 'lib/libwombatkv.so')));
  });

  it('stays in a process that unloads it: its threads and its handlers of fork are still there', async () => {
    const dynamic = await run('readelf', ['-d', library.shared]);
    assert.match(dynamic, /FLAGS_1.*\bNODELETE\b/);
  });

  it('is found by a program that asks for the plain name, as those of the Rust version do', async () => {
    // A library without a soname to link to, of the same files; the program runs on the real one.
    const place = join(folder.path, 'rust');
    mkdirSync(place);
    const objects = await compile(library.toolchain, librarySources());
    const nameless = join(place, 'libwombatkv.so');
    await run(compiler, ['-shared', '-pthread', ...objects, '-o', nameless]);
    const program = join(folder.path, 'old-program');
    const source = join(root, 'capi/test/programs/engine.c');
    await run(compiler, ['-pthread', source, `-L${place}`, '-lwombatkv', '-o', program]);
    assert.match(await run('readelf', ['-d', program]), /NEEDED.*\[libwombatkv\.so\]/);
    const elsewhere = join(folder.path, 'installed');
    mkdirSync(elsewhere);
    symlinkSync(library.shared, join(elsewhere, 'libwombatkv.so'));
    const { status, lines } = await runProgram(program, [], {
      environment: {
        ...{ LD_LIBRARY_PATH: elsewhere, HOME: folder.path },
        ...{ WMBT_KV_RUNTIME_DIR: join(folder.path, 'run'), WMBT_KV_LOOKUP_DEADLINE_MS: '5000' },
      },
    });
    // The store program lies beside the file that the name leads to.
    assert.equal(status, 0, lines.join('\n'));
    assert.ok(lines.includes('restored 4 blocks, 200000 bytes, a tail of 1234'), lines.join('\n'));
  });
});

describe('wombatkv.h', () => {
  const flags = warningFlags.filter((flag) => flag !== '-Wcast-qual');
  const structures = [
    ...['open', 'call', 'stats', 'outcome'].map(
      (name) => `  const wmbt_kv_${name}_t ${name} = WMBT_KV_${name.toUpperCase()}_INIT;`,
    ),
  ];
  const languages = [
    ['gcc', 'c99', 'c'],
    ['gcc', 'c11', 'c'],
    ['clang', 'c99', 'c'],
    ['g++', 'c++11', 'cc'],
    ['clang++', 'c++11', 'cc'],
    ['clang++', 'c++17', 'cc'],
  ] as const;
  for (const [by, standard, suffix] of languages) {
    it(`compiles as ${standard} by ${by}, without a warning`, { skip: missing(by) }, async () => {
      const folder = await makeTemporaryDirectory('header');
      try {
        const source = join(folder.path, `use.${suffix}`);
        const text = '#include <wombatkv.h>\n#include <wombatkv.h>\n';
        writeFileSync(
          source,
          `${text}size_t use(void);\nsize_t use(void) {\n${structures.join('\n')}\n` +
            '  return open.size + call.size + stats.size + outcome.size + WMBT_KV_ABI_VERSION;\n}\n',
        );
        const args = [`-std=${standard}`, ...flags, `-I${root}/capi/include`, '-c', source];
        await run(by, [...args, '-o', join(folder.path, 'use.o')]);
      } finally {
        await folder.remove();
      }
    });
  }

  it('declares what the contract says', { skip }, async () => {
    const folder = await makeTemporaryDirectory('contract');
    try {
      const source = join(folder.path, 'both.c');
      const headers = ['include/wombatkv.h', 'test/programs/contract.h'];
      writeFileSync(source, headers.map((name) => `#include "${root}/capi/${name}"\n`).join(''));
      // A declaration that differs is an error in C.
      await run(compiler, ['-std=c11', '-c', source, '-o', join(folder.path, 'both.o')]);
    } finally {
      await folder.remove();
    }
  });
});

describe('a program in C', { skip }, () => {
  let library: BuiltLibrary;
  let folder: TemporaryDirectory;
  /** Where it is installed: pkg-config's flags do not survive a clone whose path has spaces. */
  let installed: string;
  let home: DaemonHome;
  before(async () => {
    library = await cachedLibrary({ compiler, flavour: 'plain' });
    folder = await makeTemporaryDirectory('program');
    installed = join(folder.path, 'installed');
    cpSync(library.prefix, installed, { recursive: true, verbatimSymlinks: true });
    home = await startDaemonHome();
  });
  after(async () => {
    await home.close();
    await folder.remove();
  });

  it('that knows the contract alone saves, restores, and saves again', async () => {
    const program = join(folder.path, 'engine');
    const source = join(root, 'capi/test/programs/engine.c');
    const strict = [...warningFlags, ...systemFlags, '-std=c11'];
    await run(compiler, ['-pthread', ...strict, source, library.archive, '-o', program]);
    const { lines, status, notes } = await runProgram(program, [], { environment: home.unix });
    const bytes = Uint8Array.from([...Array(7).fill(1), ...Array(5).fill(2)]);
    assert.deepEqual(lines, [
      'before: 0',
      'saved 200000, tail 0 ',
      'saved 200000, tail 0 ',
      'restored 4 blocks, 200000 bytes, a tail of 1234',
      `version 00010001, crc ${crc32c(bytes).toString(16).padStart(8, '0')}, http refused`,
    ]);
    assert.equal(status, 0, notes);
  });

  it(
    'is built with pkg-config, as the quickstart says',
    { skip: missing('pkg-config') },
    async () => {
      const file = join(installed, 'lib/pkgconfig/wombatkv.pc');
      const flags = (await run('pkg-config', ['--cflags', '--libs', file])).trim().split(/\s+/);
      const program = join(folder.path, 'quickstart');
      const source = join(root, 'capi/examples/quickstart.c');
      await run(compiler, ['-std=c99', ...warningFlags, source, ...flags, '-o', program]);
      const environment = { ...home.tcp, LD_LIBRARY_PATH: join(installed, 'lib') };
      const first = await runProgram(program, [], { environment });
      assert.equal(first.status, 0, first.notes);
      assert.deepEqual(first.lines, [
        'stored before: 0 of 3 blocks',
        ...['block 0: compute once,', 'block 1: reuse', 'block 2: everywhere'],
      ]);
      const second = await runProgram(program, [], { environment });
      assert.equal(second.lines[0], 'stored before: 3 of 3 blocks');
    },
  );

  it('is built with the CMake package, shared and static', { skip: missing('cmake') }, async () => {
    const source = join(folder.path, 'cmake');
    mkdirSync(source);
    writeFileSync(
      join(source, 'CMakeLists.txt'),
      [
        'cmake_minimum_required(VERSION 3.10)',
        'project(quickstart C)',
        'find_package(wombatkv 1.0 REQUIRED)',
        ...['wombatkv', 'wombatkv_static'].flatMap((name) => [
          `add_executable(with_${name} "${root}/capi/examples/quickstart.c")`,
          `target_link_libraries(with_${name} PRIVATE wombatkv::${name})`,
        ]),
      ].join('\n'),
    );
    const build = join(source, 'build');
    const compilerFlag = `-DCMAKE_C_COMPILER=${compiler}`;
    const prefixFlag = `-DCMAKE_PREFIX_PATH=${installed}`;
    await run('cmake', ['-S', source, '-B', build, compilerFlag, prefixFlag]);
    await run('cmake', ['--build', build]);
    for (const name of ['with_wombatkv', 'with_wombatkv_static']) {
      const { status, notes } = await runProgram(join(build, name), [], { environment: home.unix });
      assert.equal(status, 0, notes);
    }
  });
});
