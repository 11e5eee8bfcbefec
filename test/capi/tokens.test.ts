import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import type { Way } from './abi-suite.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: an engine in C shows a daemon the token that it asks for, over every door, and is told when it has none or another.
 * Method: capi/test/library against a real daemon with a file of tokens.
 */
const ways: readonly Exclude<Way, 'ring' | 'shm' | 'embedded'>[] = [
  ...(['unix', 'tcp', 'http', 'tls', 'https'] as const),
];

for (const way of ways) {
  test(`tokens of the C library over ${way}`, { skip: withoutTestCompiler() }, async (context) => {
    const isSecure = way === 'tls' || way === 'https';
    const directory = await makeTemporaryDirectory('tokens');
    const place = (name: string, token: string): string => {
      const path = `${directory.path}/${name}`;
      writeFileSync(path, `${token}\n`, { mode: 0o600 });
      return path;
    };
    const variables = { WMBT_KV_TOKEN_FILE: place('right', 'a-right-token') };
    const home = await startDaemonHome({ isSecure, variables });
    try {
      const environment = {
        ...home[way],
        ...variables,
        WMBT_TEST_TOKEN: 'a-right-token',
        WMBT_TEST_WRONG_TOKEN_FILE: place('wrong', 'a-wrong-token'),
      };
      const program = await buildAbiTest();
      const groups = isSecure ? ['tokens'] : ['tokens', 'token-options'];
      for (const group of groups) {
        await reportTests(context, await runProgram(program, [group], { environment }));
      }
    } finally {
      await home.close();
      await directory.remove();
    }
  });
}
