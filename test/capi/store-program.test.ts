import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { nativeModulePath } from '../../src/platform/native.ts';
import { layOutStore, removeOtherStores, storeFolderIn } from '../../src/platform/store-program.ts';
import { cachedLibrary } from '../../tools/capi-build.ts';

import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { testToolchain, withoutTestCompiler } from './c-program.ts';

/**
 * Goal: the store program is started by the code that was compiled with the library, and starts without it where Node
 * cannot take it.
 * Method: the folder of a built library, and copies of it whose code is not what it was.
 */
const skip = withoutTestCompiler();
const timeout = 120_000;

/** Where the code lies. */
function codeIn(folder: string): string {
  const program = storeFolderIn(folder);
  assert.ok(program !== undefined, `a program in ${folder}`);
  return join(program, 'store.code');
}

/** Loaded first, it keeps what Node said of the code that it was given: `true` when it compiles for itself. */
const spy = `
  const vm = require('node:vm');
  const { writeFileSync } = require('node:fs');
  vm.Script = class extends vm.Script {
    constructor(...args) {
      super(...args);
      writeFileSync(__dirname + '/rejected', String(this.cachedDataRejected));
    }
  };`;

/** Starts the program as the C library does; gives what it says first, and what Node said of its code. */
async function start(
  folder: string,
  home: string,
): Promise<{ readonly words: string; readonly rejected: string }> {
  const spyPath = join(home, 'spy.cjs');
  writeFileSync(spyPath, spy);
  const child = spawn(process.execPath, ['--require', spyPath, join(folder, 'store.cjs')], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run') },
    ...{ timeout, killSignal: 'SIGKILL' as const },
  });
  const closed = once(child, 'close');
  const bond = child.stdio[3];
  assert.ok(bond instanceof Readable);
  const [words] = await once(bond.setEncoding('utf8'), 'data');
  bond.destroy();
  assert.deepEqual(await closed, [0, null]);
  return { words: String(words), rejected: readFileSync(join(home, 'rejected'), 'utf8') };
}

/** What becomes of the code of a copy, and what Node is to say of it. */
const changes: Readonly<
  Record<string, readonly [rejected: string, change: (path: string, code: Buffer) => void]>
> = {
  'as it is': ['false', () => undefined],
  absent: ['undefined', (path) => rmSync(path)],
  empty: ['true', (path) => writeFileSync(path, '')],
  cut: ['true', (path, code) => writeFileSync(path, code.subarray(0, code.length / 2))],
  // The version of V8 stands behind four bytes that say what the file is.
  'of another Node': ['true', (path, code) => writeFileSync(path, code.fill(code[4] ^ 1, 4, 5))],
};

test('the store program is started by its code, or without it', { skip, timeout }, async () => {
  const { prefix } = await cachedLibrary(testToolchain());
  const directory = await makeTemporaryDirectory('store-program');
  try {
    for (const [name, [expected, change]] of Object.entries(changes)) {
      const folder = join(directory.path, name);
      cpSync(join(prefix, 'lib/wombatkv'), folder, { recursive: true });
      change(codeIn(folder), readFileSync(codeIn(folder)));
      const { words, rejected } = await start(folder, directory.path);
      assert.match(words, /^ready \//m, name);
      assert.equal(rejected, expected, name);
    }
  } finally {
    await directory.remove();
  }
});

test('a program that does not start is not laid out', { skip, timeout }, async () => {
  const directory = await makeTemporaryDirectory('store-program');
  try {
    const lay = (text: string): Promise<void> =>
      layOutStore(directory.path, new Map([['store.js', text]]), nativeModulePath);
    await assert.rejects(lay("(function () { throw new Error('broken'); })"), /does not start/);
    const says = `(function (require) { new (require('node:net').Socket)({ fd: 3 }).end('failed so\\n'); })`;
    await assert.rejects(lay(says), /does not start: failed so/);
  } finally {
    await directory.remove();
  }
});

test('programs of other builds are removed, and nothing else', async () => {
  const directory = await makeTemporaryDirectory('store-program');
  const [installed, built] = ['installed', 'built'].map((name) => join(directory.path, name));
  try {
    for (const [folder, digest] of [
      [installed, '0123456789abcdef'],
      [built, 'fedcba9876543210'],
    ]) {
      mkdirSync(join(folder, `store-${digest}`), { recursive: true });
      writeFileSync(join(folder, 'store.cjs'), '');
      writeFileSync(join(folder, `store-${digest}`, 'store.js'), '');
    }
    writeFileSync(join(installed, 'store-of-mine.js'), '');
    cpSync(built, installed, { recursive: true });
    removeOtherStores(installed, built);
    const expected = ['store-of-mine.js', ...readdirSync(built)];
    assert.deepEqual(readdirSync(installed).sort(), expected.sort());
  } finally {
    await directory.remove();
  }
});
