import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { withoutCompiler } from '../support/c-compiler.ts';
import { runKernelsTest } from './kernels-build.ts';

for (const compiler of ['gcc', 'clang']) {
  const skip = withoutCompiler(compiler);
  test(`kernels in C compile without a warning by ${compiler}, and agree`, { skip }, async () => {
    for (let run = 0; run < 3; run += 1) await runKernelsTest(compiler, randomInt(2 ** 31));
  });
}
