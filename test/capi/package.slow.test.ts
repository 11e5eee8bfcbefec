import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runProgram, withoutTestCompiler } from './c-program.ts';
import type { ProgramEnd } from './c-program.ts';
import { listedSymbols, symbolsIn } from './listed-symbols.ts';

const root = projectRoot();
const timeout = 300_000;
const platform = `${process.platform}-${process.arch}`;
const example = join(root, 'capi/examples/quickstart.c');

/** For the option `skip`. */
function missing(...programs: readonly string[]): string | false {
  const absent = programs.find((program) => spawnSync(program, ['--version']).status !== 0);
  return absent !== undefined && `there is no ${absent}: this way to build is NOT tested here`;
}

/** What `npm pack` looks at lies in the copy itself; all else of the clone is found through links. */
const linked: readonly string[] = ['node_modules', 'src', 'test', 'tools', 'bench', 'examples'];

/** The clone as it is packed, elsewhere: others build and test in it. */
function copyClone(to: string): void {
  mkdirSync(to);
  for (const name of readdirSync(root)) {
    if (name === '.git' || name === 'build') continue;
    const [from, copy] = [join(root, name), join(to, name)];
    if (linked.includes(name)) symlinkSync(from, copy);
    else cpSync(from, copy, { recursive: true });
  }
}

/** What the package depends on, from the clone: what is installed then comes from no registry. */
function copyDependencies(to: string): void {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const names = new Set(Object.keys(lock.packages['']?.dependencies ?? {}));
  for (const name of names) {
    const place = join(root, 'node_modules', name);
    if (!existsSync(place)) continue;
    cpSync(place, join(to, name), { recursive: true });
    const { dependencies = {}, optionalDependencies = {} } =
      lock.packages[`node_modules/${name}`] ?? {};
    for (const other of Object.keys({ ...dependencies, ...optionalDependencies })) names.add(other);
  }
}

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage | undefined>>;
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * Goal: who installs the package has the library for engines in C, wherever it is installed and moved to, and who has
 * another machine builds it.
 * Method: the package is packed once by the scripts of package.json and installed by npm, below a path with a space.
 * The compiler does not optimise, for time's sake.
 */
describe('libwombatkv in the package', { skip: withoutTestCompiler() || missing('npm') }, () => {
  let folder: TemporaryDirectory;
  /** The project in which the package is installed, and the library in it. */
  let project: string;
  let library: string;
  let environment: Readonly<Record<string, string>>;

  /** Runs lines of a shell there, in which nothing may fail. */
  async function shell(lines: string, place: string): Promise<readonly string[]> {
    const end = await tryShell(lines, place);
    assert.equal(end.status, 0, `${lines}\n${end.lines.join('\n')}\n${end.notes}`);
    return end.lines;
  }

  function tryShell(lines: string, place: string): Promise<ProgramEnd> {
    const script = `set -e\ncd "${place}"\n${lines}`;
    return runProgram('sh', ['-c', script], { environment, timeoutMs: timeout });
  }

  /** Runs the example with a store of its own, which knows so many of its blocks already. */
  async function remembers(blocks: number, program: string, place: string): Promise<void> {
    const said = await shell(program, place);
    assert.deepEqual(said, [
      `stored before: ${blocks} of 3 blocks`,
      ...['block 0: compute once,', 'block 1: reuse', 'block 2: everywhere'],
    ]);
  }

  let homes = 0;
  /** The store of a program that has ended may still be at work in the home of before. */
  function forget(): void {
    const home = join(folder.path, `home-${++homes}`);
    mkdirSync(home);
    environment = { ...environment, HOME: home };
  }

  before(async () => {
    folder = await makeTemporaryDirectory('package');
    const compiler = join(folder.path, 'quick-cc');
    writeFileSync(compiler, '#!/bin/sh\nexec cc "$@" -O0\n');
    chmodSync(compiler, 0o755);
    environment = {
      ...{ CC: compiler, HOME: folder.path, WMBT_KV_RUNTIME_DIR: join(folder.path, 'run') },
      ...{ WMBT_KV_PUFFER_RAM_BYTES: '16MiB', WMBT_KV_LOOKUP_DEADLINE_MS: '5000' },
      ...{ npm_config_update_notifier: 'false' },
    };
    const clone = join(folder.path, 'clone');
    copyClone(clone);
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    // The clone has had its set-up.
    const setUp = 'node tools/setup.mjs && ';
    assert.ok(scripts['prepack']?.startsWith(setUp));
    await shell(scripts['prepack'].slice(setUp.length), clone);
    await shell('npm pack --ignore-scripts --pack-destination ..', clone);

    project = join(folder.path, 'an engine');
    copyDependencies(join(project, 'node_modules'));
    const install = 'npm install --offline --no-audit --no-fund --ignore-scripts';
    await shell(`${install} ../wombatkv-*.tgz`, project);
    library = join(project, 'node_modules/wombatkv/build/native', platform, 'libwombatkv');
    cpSync(example, join(project, 'engine.c'));
  });
  after(() => folder.remove());

  it('exports the listed functions by both of its names, and nothing else', async () => {
    for (const name of ['libwombatkv.so', 'libwombatkv.so.1']) {
      const file = join(library, 'lib', name);
      const symbols = await run('nm', ['-D', '--defined-only', '--format=posix', file]);
      assert.deepEqual(symbolsIn(symbols), listedSymbols(), name);
      assert.match(await run('readelf', ['-d', file]), /SONAME.*\[libwombatkv\.so\.1\]/);
    }
    const archive = join(library, 'lib/libwombatkv.a');
    const symbols = await run('nm', ['-g', '--defined-only', '--format=posix', archive]);
    assert.deepEqual(symbolsIn(symbols), listedSymbols());
  });

  it('is compiled with by what c-flags prints', { timeout }, async () => {
    const [prefix] = await shell('npx --offline wombatkv c-flags --prefix', project);
    assert.equal(prefix, library);
    await shell('eval cc engine.c "$(npx --offline wombatkv c-flags)" -o quickstart', project);
    forget();
    await remembers(0, './quickstart', project);
    await remembers(3, './quickstart', project);
  });

  it('is compiled with by pkg-config', { skip: missing('pkg-config'), timeout }, async () => {
    const path = 'PKG_CONFIG_PATH="$(npx --offline wombatkv c-flags --prefix)/lib/pkgconfig"';
    const flags = `$(${path} pkg-config --cflags --libs wombatkv)`;
    await shell(`eval cc engine.c "${flags}" -o by-pkg-config`, project);
    forget();
    await remembers(0, `LD_LIBRARY_PATH="${library}/lib" ./by-pkg-config`, project);
  });

  it('is compiled with by CMake', { skip: missing('cmake'), timeout }, async () => {
    const source = join(folder.path, 'cmake');
    mkdirSync(source);
    cpSync(example, join(source, 'quickstart.c'));
    writeFileSync(
      join(source, 'CMakeLists.txt'),
      [
        ...['cmake_minimum_required(VERSION 3.10)', 'project(quickstart C)'],
        'find_package(wombatkv 1.1 REQUIRED)',
        'add_executable(quickstart quickstart.c)',
        'target_link_libraries(quickstart PRIVATE wombatkv::wombatkv)',
      ].join('\n'),
    );
    const prefix = '-DCMAKE_PREFIX_PATH="$(npx --offline wombatkv c-flags --prefix)"';
    await shell(`cmake -S ../cmake -B ../cmake/build ${prefix}`, project);
    await shell('cmake --build build', source);
    forget();
    await remembers(0, 'build/quickstart', source);
  });

  it('works where it is moved to, with the package and without it', { timeout }, async () => {
    const moved = join(folder.path, 'moved engine');
    renameSync(project, moved);
    try {
      const there = library.replace(project, moved);
      forget();
      await remembers(0, `LD_LIBRARY_PATH="${there}/lib" ./quickstart`, moved);
      await shell('eval cc engine.c "$(npx --offline wombatkv c-flags)" -o built-there', moved);
      await remembers(3, './built-there', moved);
      cpSync(there, join(folder.path, 'alone'), { recursive: true });
    } finally {
      renameSync(moved, project);
    }
    const packages = join(project, 'node_modules');
    renameSync(packages, `${packages} away`);
    try {
      const program = `LD_LIBRARY_PATH="${folder.path}/alone/lib" "${project}/quickstart"`;
      forget();
      // What the bucket gets is compressed.
      await remembers(0, `WMBT_KV_PUT_DURABLE=on ${program}`, folder.path);
    } finally {
      renameSync(`${packages} away`, packages);
    }
  });

  it('is built by build-native where it is missing, and says so before', { timeout }, async () => {
    rmSync(join(project, 'node_modules/wombatkv/build/native'), { recursive: true });
    const without = await tryShell('npx --offline wombatkv c-flags', project);
    assert.equal(without.status, 1);
    assert.match(without.notes, /there is no libwombatkv .*; wombatkv build-native builds it$/m);

    const noCompiler = await tryShell(
      'CC=/nowhere/cc npx --offline wombatkv build-native',
      project,
    );
    assert.equal(noCompiler.status, 1);
    const why =
      /^wombatkv: native code was not built: there is no C compiler \/nowhere\/cc; install/m;
    assert.match(noCompiler.notes, why);

    await shell('npx --offline wombatkv build-native', project);
    await shell('eval cc engine.c "$(npx --offline wombatkv c-flags)" -o built-here', project);
    forget();
    await remembers(0, './built-here', project);
    const built = readdirSync(join(project, 'node_modules/wombatkv/build/native', platform)).sort();
    assert.deepEqual(built, ['libwombatkv', 'wombatkv-native.node'], 'nothing else is left there');
  });

  it('is installed below a prefix, and needs no package there', { timeout }, async () => {
    const prefix = join(folder.path, 'usr');
    mkdirSync(join(prefix, 'lib'), { recursive: true });
    writeFileSync(join(prefix, 'lib/other'), 'as it was');
    await shell('npx --offline wombatkv build-native --prefix ../usr', project);
    assert.equal(readFileSync(join(prefix, 'lib/other'), 'utf8'), 'as it was');
    rmSync(join(project, 'node_modules'), { recursive: true });
    rmSync(join(folder.path, 'clone'), { recursive: true });
    const flags = `-I"${prefix}/include" -L"${prefix}/lib" -lwombatkv`;
    await shell(`cc engine.c ${flags} -o installed`, project);
    forget();
    await remembers(0, `LD_LIBRARY_PATH="${prefix}/lib" ./installed`, project);
  });
});
