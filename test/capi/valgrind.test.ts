import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import {
  buildAbiTest,
  reportTests,
  runProgram,
  underValgrind,
  withoutTestCompiler,
} from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: the library reads no memory that was not written, and loses none, in any mode. Method: groups of the test
 * program under valgrind, which sees both in code as it is shipped. It takes twenty times as long, so each way has the
 * groups that are its own, and what all ways share, arguments and openings, runs once.
 */
type Way = 'shm' | 'unix' | 'tcp' | 'http' | 'embedded';

const groups: Readonly<Record<Way, readonly string[]>> = {
  shm: ['blocks', 'tails', 'extended'],
  unix: ['tails'],
  tcp: ['blocks', 'extended'],
  http: ['arguments', 'tails', 'blocks'],
  embedded: ['tails', 'extended'],
};

function skip(way: Way): string | false {
  if (process.env['WOMBATKV_TEST_C_FLAVOUR'] === undefined) {
    return 'left to another lane: npm run capi';
  }
  if (spawnSync('valgrind', ['--version']).status !== 0) return 'there is no valgrind';
  return withoutTestCompiler() || (way === 'shm' && withoutNative());
}

const timeoutMs = 300_000;

for (const way of Object.keys(groups) as readonly Way[]) {
  for (const group of groups[way]) {
    const title = `${group} of the C library over ${way} under valgrind`;
    test(title, { skip: skip(way) }, async (context) => {
      const home = await startDaemonHome({ sharesMemory: way === 'shm' });
      try {
        const [valgrind, ...args] = underValgrind(await buildAbiTest());
        const environment = {
          ...home[way === 'shm' ? 'unix' : way],
          WMBT_KV_LOOKUP_DEADLINE_MS: '20000',
        };
        const end = await runProgram(valgrind, [...args, group], { environment, timeoutMs });
        await reportTests(context, end);
      } finally {
        await home.close();
      }
    });
  }
}
