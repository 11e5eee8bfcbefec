import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { withoutSystemZstd } from '../../test/support/system-zstd.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';

const run = promisify(execFile);
const child = fileURLToPath(new URL('../../test/support/system-zstd-child.js', import.meta.url));
const libraryName = 'libzstd.so.1';

/** A library with functions of those names, of which none may be called but that of the version. */
function libraryOf(version: number, names: readonly string[]): string {
  const refused = names.map((name) => `void ${name}(void) { abort(); }`);
  const told = `unsigned ZSTD_versionNumber(void) { return ${version}; }`;
  return ['#include <stdlib.h>', told, ...refused].join('\n');
}

const names = [
  'ZSTD_createDCtx',
  'ZSTD_freeDCtx',
  'ZSTD_decompressDCtx',
  'ZSTD_isError',
  'ZSTD_getErrorName',
];

const libraries: Readonly<Record<string, string | undefined>> = {
  'no library': undefined,
  'one that is too old': libraryOf(10_399, names),
  'one that is of another major version': libraryOf(20_000, names),
  ...Object.fromEntries(
    names.map((name) => {
      const others = names.filter((other) => other !== name);
      return [`one without ${name}`, libraryOf(10_504, others)];
    }),
  ),
};

describe('the zstd that a system has', { skip: onLinux() ?? withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  before(async () => {
    temporary = await makeTemporaryDirectory('system-zstd');
  });
  after(() => temporary.remove());

  it(
    'decodes what there is to decode before a worker is there',
    {
      skip: withoutSystemZstd(),
    },
    async () => {
      assert.equal(await decodedBy(undefined), 'system system');
    },
  );

  for (const [what, source] of Object.entries(libraries)) {
    it(`is left where it is when it is ${what}, and another one decodes`, async () => {
      const folder = join(temporary.path, what.replaceAll(' ', '-'));
      await mkdir(folder);
      const library = join(folder, libraryName);
      // What cannot be loaded is not looked for in other folders.
      await writeFile(library, 'no library');
      if (source !== undefined) {
        const file = join(folder, 'library.c');
        await writeFile(file, source);
        await run('cc', ['-shared', '-fPIC', '-fno-builtin', file, '-o', library]);
      }
      assert.equal(await decodedBy(folder), 'other other');
    });
  }
});

/** What a process says whose libraries are looked for in that folder first. */
async function decodedBy(folder: string | undefined): Promise<string> {
  const { LD_LIBRARY_PATH: _, ...environment } = process.env;
  const first = folder === undefined ? {} : { LD_LIBRARY_PATH: folder };
  const { stdout } = await run(process.execPath, [child], { env: { ...environment, ...first } });
  return stdout.trim();
}

function onLinux(): string | undefined {
  return process.platform === 'linux' ? undefined : 'only on Linux is one looked for';
}
