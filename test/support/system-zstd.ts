import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeKernels } from '../../src/base/native-kernels.ts';
import { nativeCode } from '../../src/platform/native.ts';
import { withoutNative } from './c-compiler.ts';

const libraryName = 'libzstd.so.1';
const folders = ['/lib', '/lib64', '/usr/lib', '/usr/lib64', '/usr/local/lib'];

/** Why a test that decodes by the system's zstd cannot run, or false when it can; for the option `skip`. */
export function withoutSystemZstd(): string | false {
  const without = withoutNative();
  if (without !== false) return without;
  // Some systems have a folder for each kind of processor.
  const within = folders.filter((folder) => existsSync(folder));
  const all = within.flatMap((folder) => [
    folder,
    ...readdirSync(folder)
      .filter((name) => name.includes('-linux-'))
      .map((name) => join(folder, name)),
  ]);
  const isThere = all.some((folder) => existsSync(join(folder, libraryName)));
  return isThere ? false : `there is no ${libraryName}: decoding by it is NOT tested here`;
}

/** Native code, for `useNativeKernels`. */
export function builtKernels(): NativeKernels {
  const { code } = nativeCode('auto');
  assert(code !== undefined, 'native code is built where there is a compiler');
  return code;
}
