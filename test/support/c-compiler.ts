import { spawnSync } from 'node:child_process';

/** Why a test of native code cannot run, or false when it can; for the option `skip`. */
export function withoutNative(): string | false {
  const isOff = process.env['WMBT_KV_NATIVE'] === 'off';
  return isOff ? 'left to another lane: this is the one without native code' : withoutCompiler();
}

/** Why a test that compiles C cannot run, or false when it can; for the option `skip`. */
export function withoutCompiler(compiler = 'cc'): string | false {
  const { status } = spawnSync(compiler, ['--version']);
  return status === 0
    ? false
    : `there is no C compiler ${compiler}: native code is NOT tested here`;
}
