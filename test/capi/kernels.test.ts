import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { withoutCompiler } from '../support/c-compiler.ts';
import { runKernelsTest } from './kernels-build.ts';

/**
 * Goal: every kernel that this processor has computes what independent implementations compute, on
 * random lengths and alignments, and touches no byte that is not its own.
 * Method: capi/test/kernels-test.c, compiled by `CC` or the system's compiler under its sanitizers. The seed is
 * new in every run and stands in what a failure shows.
 */
test(
  'kernels in C agree with independent implementations',
  { skip: withoutCompiler() },
  async () => {
    const printed = await runKernelsTest(process.env['CC'] || 'cc', randomInt(2 ** 31));
    assert.match(printed, /^crc32c portable: tested$/m);
    assert.match(printed, /^hex table: tested$/m);
    assert.match(printed, /^crc32c in use: \w+$/m);
  },
);
