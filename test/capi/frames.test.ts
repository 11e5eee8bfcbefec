import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { goldenPath } from '../golden/golden.ts';
import { buildFramesTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';

/**
 * Goal: the C library writes and reads the frames that TypeScript does, and no bytes make it read
 * beyond them, hang, or give what was not sent. Method: capi/test/frames, on the golden frames and on
 * changes of them by a seed, fixed first and then new in every run.
 */
const skip = withoutTestCompiler();
for (const seed of [1, randomInt(2 ** 31)]) {
  test(`the frames of the C library, seed ${seed}`, { skip }, async (context) => {
    const program = await buildFramesTest();
    const args = [goldenPath('protocol-v1'), String(seed)];
    await reportTests(context, await runProgram(program, args, { environment: {} }));
  });
}
