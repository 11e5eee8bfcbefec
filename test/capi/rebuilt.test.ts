import { describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import assert from 'node:assert/strict';
import {
  buildAbiTest,
  buildRebuildsTest,
  reportTests,
  runProgram,
  withoutTestCompiler,
} from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

const skip = withoutTestCompiler() || withoutNative();

// Goal: whatever threads and forked children of an engine read in a daemon's memory is what was saved, while the daemon
// builds its index anew (docs/decisions/0100). Method: the real library and a daemon with so little memory that
// it does so every few thousand blocks; and the index's own code alone, which a program lets build it anew every few
// payloads, with readers in other processes that rest between any two steps of theirs.
describe('the C library and an index that is built anew', { skip }, () => {
  it('reads what was saved', async (context) => {
    const program = await buildAbiTest();
    const home = await startDaemonHome({ memory: '4MiB' });
    try {
      await reportTests(
        context,
        await runProgram(program, ['rebuilt'], { environment: home.unix }),
      );
    } finally {
      await home.close();
    }
  });

  it('pins nothing that is used again, however often it is built anew and whoever is stopped', async (context) => {
    const program = await buildRebuildsTest();
    for (let run = 0; run < 3; run += 1) {
      const { status, lines, notes } = await runProgram(program, [], { environment: {} });
      assert.equal(status, 0, [...lines, notes].join('\n'));
      context.diagnostic(lines[0]);
      assert.match(lines[0], /^pinned [1-9]\d*, refused [1-9]\d*$/);
    }
  });
});
