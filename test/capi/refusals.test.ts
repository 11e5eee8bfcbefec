import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { buildRefusalsTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: memory that the system refuses an engine, any piece of it, fails the call with that reason or not at all, and the next
 * call is right. Method: capi/test/refusals against a real daemon; the library's own files call functions that refuse.
 */
const ways = ['shm', 'unix', 'tcp', 'http'] as const;
const timeout = 240_000;
for (const way of ways) {
  const skip = withoutTestCompiler() || (way === 'shm' && withoutNative());
  test(`memory that is refused, over ${way}`, { skip, timeout }, async (context) => {
    const home = await startDaemonHome({ sharesMemory: way === 'shm', memory: '128MiB' });
    try {
      const environment = home[way === 'shm' ? 'unix' : way];
      const options = { environment, timeoutMs: timeout };
      const end = await runProgram(await buildRefusalsTest(), [randomUUID()], options);
      for (const line of end.lines) if (line.startsWith('note ')) context.diagnostic(line);
      await reportTests(context, end);
    } finally {
      await home.close();
    }
  });
}
