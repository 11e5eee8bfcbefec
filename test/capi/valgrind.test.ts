import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  buildAbiTest,
  reportTests,
  runProgram,
  underValgrind,
  withoutTestCompiler,
} from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: the library reads no memory that was not written, and loses none. Method: groups of the test
 * program under valgrind, which sees both in code as it is shipped. It takes twenty times as long, so
 * there are few: over HTTP, which shares all but its messages with the other ways.
 */
function skip(): string | false {
  if (process.env['WOMBATKV_TEST_C_FLAVOUR'] === undefined) {
    return 'left to another lane: npm run capi';
  }
  if (spawnSync('valgrind', ['--version']).status !== 0) return 'there is no valgrind';
  return withoutTestCompiler();
}

const timeoutMs = 300_000;

for (const group of ['arguments', 'tails', 'blocks']) {
  test(`${group} of the C library under valgrind`, { skip: skip() }, async (context) => {
    const home = await startDaemonHome();
    try {
      const [valgrind, ...args] = underValgrind(await buildAbiTest());
      const environment = { ...home.http, WMBT_KV_LOOKUP_DEADLINE_MS: '20000' };
      const end = await runProgram(valgrind, [...args, group], { environment, timeoutMs });
      await reportTests(context, end);
    } finally {
      await home.close();
    }
  });
}
