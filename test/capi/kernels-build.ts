import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { blake3Sources, buildWithCompiler, sourcesIn } from '../../src/platform/native-build.ts';
import { goldenPath } from '../golden/golden.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

/** Runs that crash are shown with where; a report that is only printed would let the test pass. */
const sanitizers = ['-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/** Another processor than this one. */
export interface OtherProcessor {
  /** As `process.arch` names it. */
  readonly arch: string;
  /** Instead of the sanitizers. */
  readonly flags: readonly string[];
  /** Words before the command of the program. */
  readonly through: readonly [program: string, ...args: string[]];
}

/**
 * Compiles the kernels and their test program with the compiler, under its sanitizers and without a
 * warning in our files, and runs it by the seed. Gives what it printed.
 */
export async function runKernelsTest(
  compiler: string,
  seed: number,
  other?: OtherProcessor,
): Promise<string> {
  const directory = await makeTemporaryDirectory('kernels');
  try {
    const output = join(directory.path, 'kernels-test');
    const own = other?.flags ?? sanitizers;
    const ours = [...sourcesIn('src'), ...sourcesIn('test')].map(({ file, flags }) => ({
      file,
      flags: [...flags, ...own, '-Werror'],
    }));
    // The test sets what the official code believes of the processor. That code itself is compiled
    // without sanitizers: with them its unrolled rounds take minutes of the compiler.
    const flags = ['-pthread', '-DBLAKE3_TESTING'];
    const sources = [...ours, ...blake3Sources(other?.arch)];
    await buildWithCompiler({ compiler, flags, sources, linkerFlags: own, output });
    const vectors = goldenPath('keys-v1', 'vectors.txt');
    const [program, ...args] = [...(other?.through ?? []), output, String(seed), vectors];
    const { status, stdout, stderr } = spawnSync(program, args, { timeout: 120_000 });
    assert.equal(status, 0, `${stdout.toString()}${stderr.toString()}`);
    return stdout.toString();
  } finally {
    await directory.remove();
  }
}
