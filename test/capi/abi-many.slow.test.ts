import { test } from 'node:test';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/** 65,600 keys keep the daemon busy for seconds, which a quick suite on a busy machine has not. */
test('many keys of the C library', { skip: withoutTestCompiler() }, async (context) => {
  const program = await buildAbiTest();
  const home = await startDaemonHome();
  try {
    await reportTests(context, await runProgram(program, ['many'], { environment: home.unix }));
  } finally {
    await home.close();
  }
});
